//! The procedural road network: a jittered grid of streets, arterials on every third line, a motorway around it.
//!
//! Coordinates are metres east and north of the centre, and degrees. Roads are directed; a two-way street is two roads.

use super::flow::Spec;
use super::rng::{Purpose, Rng};
use super::signals;

/// A kind of road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoadClass {
    /// 70 mph, three lanes each way.
    Motorway,
    /// 40 mph, two lanes each way.
    Arterial,
    /// 30 mph, one lane each way.
    Street,
}

impl RoadClass {
    /// Its name in the reference stream.
    pub fn name(self) -> &'static str {
        match self {
            RoadClass::Motorway => "motorway",
            RoadClass::Arterial => "arterial",
            RoadClass::Street => "street",
        }
    }

    /// Speed limit in km/h: the British 70, 40 and 30 mph.
    pub fn limit_kmh(self) -> f64 {
        match self {
            RoadClass::Motorway => 112.65,
            RoadClass::Arterial => 64.37,
            RoadClass::Street => 48.28,
        }
    }

    fn lanes(self) -> u8 {
        match self {
            RoadClass::Motorway => 3,
            RoadClass::Arterial => 2,
            RoadClass::Street => 1,
        }
    }
}

/// A place: metres from the centre, and degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Metres east of the centre.
    pub x: f64,
    /// Metres north of the centre.
    pub y: f64,
}

/// A directed road between two junctions; straight.
#[derive(Debug, Clone, Copy)]
pub struct Road {
    /// Junction where it starts.
    pub from: u32,
    /// Junction where it ends.
    pub to: u32,
    /// Length in metres.
    pub length: f64,
    /// Kind.
    pub class: RoadClass,
    /// Lanes.
    pub lanes: u8,
    /// Direction of travel, degrees from north, clockwise, rounded to 0.1.
    pub heading: f64,
    /// Line of the grid that it lies on; names the street.
    pub line: u16,
    /// Weather and air cell of its middle.
    pub cell: u16,
    /// Whether it runs below ground: no satellite is seen.
    pub tunnel: bool,
    /// Whether high buildings stand on both sides: satellites are seen badly.
    pub canyon: bool,
}

/// A camera at a fixed place of a road.
#[derive(Debug, Clone, Copy)]
pub struct Camera {
    /// The road that it watches.
    pub road: u32,
    /// Distance from the road's start in metres.
    pub offset: f64,
}

/// The roads, cameras and stations of a city.
#[derive(Debug)]
pub struct Network {
    /// Junctions.
    pub junctions: Vec<Place>,
    /// Roads.
    pub roads: Vec<Road>,
    /// Cameras, by road.
    pub cameras: Vec<Camera>,
    /// Weather stations: the middle of each cell.
    pub stations: Vec<Place>,
    /// For each road what traffic flow has to know of it.
    pub specs: Vec<Spec>,
    /// Roads that leave junction `j` are `out[out_start[j]..out_start[j + 1]]`.
    out: Vec<u32>,
    out_start: Vec<u32>,
    half: f64,
    cells: u16,
}

/// Distance between two grid lines in metres `[assumed]`: the roads are a city's main ones.
const SPACING: f64 = 1_000.0;
/// Junctions stand up to this far from the grid, as a share of the spacing.
const JITTER: f64 = 0.1375;
/// Arterials whose middle is so near the centre run below ground, in metres `[assumed]`.
const TUNNEL: f64 = 700.0;
/// Where high buildings stand: so far from the centre, as a share of half the city's width `[assumed]`.
const CANYON: f64 = 0.2;
/// Latitude and longitude of the centre: the city of the original workflow, Birmingham.
const CENTRE: (f64, f64) = (52.4862, -1.8904);
/// Metres per degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;

impl Network {
    /// The network for a fleet of `vehicles`: as many junctions as keep a tenth of the fleet moving at its peak.
    pub fn procedural(rng: Rng, vehicles: u32) -> Self {
        Self::grid(rng, grid_side(vehicles), SPACING)
    }

    /// A network of `side` lines each way, at least 4, `spacing` metres apart.
    pub fn grid(rng: Rng, side: usize, spacing: f64) -> Self {
        let half = (side - 1) as f64 * spacing / 2.0;
        let junction = |i: usize, j: usize| (i * side + j) as u32;
        let mut junctions = Vec::with_capacity(side * side);
        for i in 0..side {
            for j in 0..side {
                let n = u64::from(junction(i, j));
                let dx = (rng.unit(Purpose::Network, n, 0) * 2.0 - 1.0) * JITTER * spacing;
                let dy = (rng.unit(Purpose::Network, n, 1) * 2.0 - 1.0) * JITTER * spacing;
                junctions.push(Place { x: j as f64 * spacing - half + dx, y: i as f64 * spacing - half + dy });
            }
        }
        let cells = (side / 4).clamp(2, 8) as u16;
        let mut network = Self {
            junctions,
            roads: Vec::new(),
            cameras: Vec::new(),
            stations: Vec::new(),
            specs: Vec::new(),
            out: Vec::new(),
            out_start: Vec::new(),
            half: half + spacing / 2.0,
            cells,
        };
        network.lay_roads(rng, side);
        network.index_roads();
        network.place_cameras(rng);
        network.place_stations();
        network.specs = network
            .roads
            .iter()
            .zip(signals::plan(&network))
            .map(|(r, signal)| Spec { length: r.length, lanes: r.lanes, limit_kmh: r.class.limit_kmh(), signal })
            .collect();
        network
    }

    fn lay_roads(&mut self, rng: Rng, side: usize) {
        let last = side - 1;
        let class_of = |line: usize| {
            if line == 0 || line == last {
                RoadClass::Motorway
            } else if line.is_multiple_of(3) {
                RoadClass::Arterial
            } else {
                RoadClass::Street
            }
        };
        let mut degree = vec![0u8; side * side];
        let mut edges = Vec::new();
        for i in 0..side {
            for j in 0..side {
                if j < last {
                    edges.push((i * side + j, i * side + j + 1, class_of(i), i));
                }
                if i < last {
                    edges.push((i * side + j, (i + 1) * side + j, class_of(j), side + j));
                }
            }
        }
        for &(a, b, ..) in &edges {
            degree[a] += 1;
            degree[b] += 1;
        }
        for (n, (a, b, class, line)) in edges.into_iter().enumerate() {
            // One street in eight is missing. Both ends keep three roads, so every block still reaches an arterial.
            let missing = class == RoadClass::Street
                && degree[a] > 3
                && degree[b] > 3
                && rng.below(Purpose::Network, n as u64, 2, 8) == 0;
            if missing {
                degree[a] -= 1;
                degree[b] -= 1;
                continue;
            }
            for (from, to) in [(a, b), (b, a)] {
                let (p, q) = (self.junctions[from], self.junctions[to]);
                let (dx, dy) = (q.x - p.x, q.y - p.y);
                let middle = Place { x: f64::midpoint(p.x, q.x), y: f64::midpoint(p.y, q.y) };
                let from_centre = (middle.x * middle.x + middle.y * middle.y).sqrt();
                let tunnel = class == RoadClass::Arterial && from_centre < TUNNEL;
                self.roads.push(Road {
                    from: from as u32,
                    to: to as u32,
                    length: ((dx * dx + dy * dy).sqrt() * 10.0).round() / 10.0,
                    class,
                    lanes: class.lanes(),
                    heading: (libm::atan2(dx, dy).to_degrees().rem_euclid(360.0) * 10.0).round() / 10.0 % 360.0,
                    line: line as u16,
                    cell: self.cell_at(middle),
                    tunnel,
                    canyon: class != RoadClass::Motorway && !tunnel && from_centre < CANYON * self.half,
                });
            }
        }
    }

    fn index_roads(&mut self) {
        let mut start = vec![0u32; self.junctions.len() + 1];
        for road in &self.roads {
            start[road.from as usize + 1] += 1;
        }
        for j in 1..start.len() {
            start[j] += start[j - 1];
        }
        let mut next = start.clone();
        self.out = vec![0; self.roads.len()];
        for (r, road) in self.roads.iter().enumerate() {
            let slot = &mut next[road.from as usize];
            self.out[*slot as usize] = r as u32;
            *slot += 1;
        }
        self.out_start = start;
    }

    /// A camera in the middle of one in six arterial and motorway roads, at least four.
    fn place_cameras(&mut self, rng: Rng) {
        let main = |road: &Road| road.class != RoadClass::Street;
        for (r, road) in self.roads.iter().enumerate() {
            if main(road) && rng.below(Purpose::Network, r as u64, 3, 6) == 0 {
                self.cameras.push(Camera { road: r as u32, offset: (road.length / 2.0).round() });
            }
        }
        let mut candidates = (0..self.roads.len()).filter(|&r| main(&self.roads[r]));
        while self.cameras.len() < 4 {
            let Some(r) = candidates.next() else { break };
            if !self.cameras.iter().any(|c| c.road == r as u32) {
                self.cameras.push(Camera { road: r as u32, offset: (self.roads[r].length / 2.0).round() });
            }
        }
        self.cameras.sort_by_key(|c| c.road);
    }

    fn place_stations(&mut self) {
        let size = 2.0 * self.half / f64::from(self.cells);
        let middle = |k: u16| f64::from(k) * size - self.half + size / 2.0;
        for row in 0..self.cells {
            for column in 0..self.cells {
                self.stations.push(Place { x: middle(column), y: middle(row) });
            }
        }
    }

    /// The junction near a place: that of the grid's crossing next to it.
    pub fn junction_near(&self, place: Place) -> u32 {
        let side = (self.junctions.len() as f64).sqrt().round() as usize;
        let spacing = 2.0 * self.half / side as f64;
        let line = |v: f64| (((v + self.half) / spacing).floor().max(0.0) as usize).min(side - 1);
        (line(place.y) * side + line(place.x)) as u32
    }

    /// Half the city's width in metres; its centre is at (0, 0).
    pub fn half_width(&self) -> f64 {
        self.half
    }

    /// Roads that leave a junction.
    pub fn leaving(&self, junction: u32) -> &[u32] {
        let j = junction as usize;
        &self.out[self.out_start[j] as usize..self.out_start[j + 1] as usize]
    }

    /// Number of weather and air cells.
    pub fn cell_count(&self) -> usize {
        usize::from(self.cells) * usize::from(self.cells)
    }

    /// The cell that a place lies in.
    pub fn cell_at(&self, place: Place) -> u16 {
        let size = 2.0 * self.half / f64::from(self.cells);
        let index = |v: f64| (((v + self.half) / size).floor().max(0.0) as u16).min(self.cells - 1);
        index(place.y) * self.cells + index(place.x)
    }

    /// The place `offset` metres along a road.
    pub fn place_on(&self, road: u32, offset: f64) -> Place {
        let road = &self.roads[road as usize];
        let (p, q) = (self.junctions[road.from as usize], self.junctions[road.to as usize]);
        let share = (offset / road.length).clamp(0.0, 1.0);
        Place { x: p.x + (q.x - p.x) * share, y: p.y + (q.y - p.y) * share }
    }

    /// Latitude and longitude in degrees, rounded to 1e-6 (a decimetre).
    pub fn degrees(&self, place: Place) -> (f64, f64) {
        let lat = CENTRE.0 + place.y / METRES_PER_DEGREE;
        // cos(52.4862°): one projection for the whole city.
        let lon = CENTRE.1 + place.x / (METRES_PER_DEGREE * 0.608_961);
        ((lat * 1e6).round() / 1e6, (lon * 1e6).round() / 1e6)
    }

    /// Name of the district that a place lies in: nine of them, by compass.
    pub fn district(&self, place: Place) -> usize {
        let third = |v: f64| (((v / self.half + 1.0) * 1.5).floor().max(0.0) as usize).min(2);
        third(place.y) * 3 + third(place.x)
    }

    /// Name of a road's street.
    pub fn street_name(&self, road: &Road) -> String {
        let side = (self.junctions.len() as f64).sqrt().round() as u16;
        let (kind, number) = if road.line < side { ("Street", road.line) } else { ("Avenue", road.line - side) };
        match road.class {
            RoadClass::Motorway => format!("M{}", 40 + u16::from(road.line >= side) * 2 + u16::from(number > 0)),
            RoadClass::Arterial => format!("{} Road {kind}", ordinal(number)),
            RoadClass::Street => format!("{} {kind}", ordinal(number)),
        }
    }
}

/// Names of the nine districts.
pub const DISTRICTS: [&str; 9] = [
    "Southwick",
    "Southgate",
    "Marsh End",
    "Westfield",
    "Old Town",
    "Eastbrook",
    "Northmoor",
    "Northgate",
    "Highfield",
];

fn ordinal(n: u16) -> String {
    let suffix = match (n % 10, n % 100) {
        (1, h) if h != 11 => "st",
        (2, h) if h != 12 => "nd",
        (3, h) if h != 13 => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

/// Vehicles of the fleet a junction, where the fleet is large enough `[assumed]`: 130 a kilometre of road. (36 million cars
/// share 400,000 km of British roads, of which these are the main ones.)
const VEHICLES_A_JUNCTION: f64 = 250.0;

/// Lines of the grid each way: 24 for up to 144,000 vehicles, which is room for trips of the usual length; then as many as the
/// fleet needs: 63 for 1,000,000.
fn grid_side(vehicles: u32) -> usize {
    ((f64::from(vehicles) / VEHICLES_A_JUNCTION).sqrt().round() as usize).max(24)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(vehicles: u32) -> Network {
        Network::procedural(Rng::new(7), vehicles)
    }

    #[test]
    fn every_junction_reaches_every_other() {
        for vehicles in [1, 2_000, 50_000] {
            let network = network(vehicles);
            let mut seen = vec![false; network.junctions.len()];
            let mut todo = vec![0u32];
            while let Some(j) = todo.pop() {
                if !std::mem::replace(&mut seen[j as usize], true) {
                    todo.extend(network.leaving(j).iter().map(|&r| network.roads[r as usize].to));
                }
            }
            assert!(seen.iter().all(|s| *s), "{vehicles} vehicles");
        }
    }

    #[test]
    fn size_follows_the_fleet_and_the_seed_moves_it() {
        assert_eq!(network(2_000).junctions.len(), 576);
        assert_eq!(network(400_000).junctions.len(), 40 * 40);
        let other = Network::procedural(Rng::new(8), 2_000);
        assert_ne!(other.junctions[5], network(2_000).junctions[5]);
    }

    #[test]
    fn roads_lie_between_their_junctions() {
        let network = network(2_000);
        for (r, road) in network.roads.iter().enumerate() {
            assert!(road.length > 600.0 && road.length < 1_400.0);
            assert!((0.0..360.0).contains(&road.heading));
            let (end, junction) = (network.place_on(r as u32, road.length), network.junctions[road.to as usize]);
            assert!((end.x - junction.x).abs() < 1e-6 && (end.y - junction.y).abs() < 1e-6);
        }
        for (j, place) in network.junctions.iter().enumerate() {
            assert_eq!(network.junction_near(*place), j as u32);
        }
        assert!(network.cameras.len() >= 4);
        assert_eq!(network.stations.len(), network.cell_count());
        for (k, station) in network.stations.iter().enumerate() {
            assert_eq!(usize::from(network.cell_at(*station)), k);
        }
    }
}
