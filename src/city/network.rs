//! The procedural road network: a jittered grid of streets drawn as rings and radials (`layout`), arterials
//! among them, a motorway around it; tunnels, and high buildings in the centre.
//!
//! Coordinates are metres east and north of the centre, and degrees. Roads are directed; a two-way street is two roads.

use std::collections::BTreeMap;

use super::flow::Spec;
use super::landuse::LandUse;
use super::lanes::Lanes;
use super::layout::Layout;
use super::rng::{Purpose, Rng};
use super::round::round;
use super::signals;
use super::streets::{self, Stretch};

/// A kind of road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Number of the street that it is a part of; see [`Network::street_name`].
    pub street: u16,
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
    /// For each road what traffic flow has to know of each of its lanes.
    pub specs: Vec<Spec>,
    /// The lanes of the roads.
    pub lanes: Lanes,
    /// Where people live and work.
    pub land: LandUse,
    /// Roads that leave junction `j` are `out[out_start[j]..out_start[j + 1]]`.
    out: Vec<u32>,
    out_start: Vec<u32>,
    /// Names by number.
    streets: Vec<String>,
    layout: Layout,
    cells: u16,
}

/// Distance between two grid lines in metres `[assumed]`: the roads are a city's main ones.
const SPACING: f64 = 1_000.0;
/// Junctions stand up to this far from the grid, as a share of the spacing.
const JITTER: f64 = 0.1375;
/// One in so many arterial roads runs below ground `[assumed]`, beside the main road through the centre, which always does.
const TUNNELS: u64 = 40;
/// High buildings stand along all roads so near the centre, and along none so far from it, as a share of half the city's
/// width; between, along fewer and fewer `[assumed]`.
const CANYON: f64 = 0.18;
const CANYON_END: f64 = 0.34;
/// A name lasts for so many roads at most `[assumed]`.
const NAMED_ALIKE: usize = 6;
/// Latitude and longitude of the centre: the city of the original workflow, Birmingham.
const CENTRE: (f64, f64) = (52.4862, -1.8904);
/// Metres per degree of latitude.
const METRES_PER_DEGREE: f64 = 111_320.0;

impl Network {
    /// The network for a fleet of `vehicles`: as many junctions as keep a tenth of the fleet moving at its peak.
    pub fn procedural(rng: Rng, vehicles: u32) -> Self {
        Self::grid(rng, grid_side(vehicles), SPACING)
    }

    /// A network of `side` lines each way, at least 4, `spacing` metres apart, drawn as rings.
    pub fn grid(rng: Rng, side: usize, spacing: f64) -> Self {
        let layout = Layout::new(side, spacing);
        let mut junctions = Vec::with_capacity(side * side);
        for i in 0..side {
            for j in 0..side {
                let n = (i * side + j) as u64;
                let jitter = |counter| (rng.unit(Purpose::Network, n, counter) * 2.0 - 1.0) * JITTER * spacing;
                let place = layout.place(i, j);
                junctions.push(Place { x: place.x + jitter(0), y: place.y + jitter(1) });
            }
        }
        let mut network = Self {
            junctions,
            roads: Vec::new(),
            cameras: Vec::new(),
            stations: Vec::new(),
            specs: Vec::new(),
            lanes: Lanes::new([]),
            land: LandUse::new(rng, layout.half_width()),
            out: Vec::new(),
            out_start: Vec::new(),
            streets: Vec::new(),
            layout,
            cells: (side / 4).clamp(2, 8) as u16,
        };
        network.lay_roads(rng);
        network.index_roads();
        network.place_cameras(rng);
        network.place_stations();
        network.specs = network
            .roads
            .iter()
            .zip(signals::plan(&network))
            .map(|(r, signal)| Spec { length: r.length, lanes: 1, limit_kmh: r.class.limit_kmh(), signal })
            .collect();
        network.lanes = Lanes::new(network.roads.iter().map(|road| road.lanes).zip(&network.specs));
        network
    }

    fn lay_roads(&mut self, rng: Rng) {
        let edges = edges(self.layout);
        let mut degree = vec![0u8; self.junctions.len()];
        for edge in &edges {
            degree[edge.from] += 1;
            degree[edge.to] += 1;
        }
        let mut numbers = BTreeMap::new();
        let mut stretches = Vec::new();
        for (n, edge) in edges.into_iter().enumerate() {
            // One street in eight is missing. Both ends keep three roads, so every block still reaches an arterial.
            let missing = edge.class == RoadClass::Street
                && degree[edge.from] > 3
                && degree[edge.to] > 3
                && rng.below(Purpose::Network, n as u64, 2, 8) == 0;
            if missing {
                degree[edge.from] -= 1;
                degree[edge.to] -= 1;
                continue;
            }
            let street = *numbers.entry(edge.stretch_key(self.layout)).or_insert_with(|| {
                stretches.push(edge.stretch(self.layout));
                (stretches.len() - 1) as u16
            });
            let tunnel = edge.class == RoadClass::Arterial
                && (edge.is_central(self.layout) || rng.below(Purpose::Network, n as u64, 4, TUNNELS) == 0);
            let high = rng.unit(Purpose::Network, n as u64, 5);
            for (from, to) in [(edge.from, edge.to), (edge.to, edge.from)] {
                let (p, q) = (self.junctions[from], self.junctions[to]);
                let (dx, dy) = (q.x - p.x, q.y - p.y);
                let middle = Place { x: f64::midpoint(p.x, q.x), y: f64::midpoint(p.y, q.y) };
                let out = (middle.x * middle.x + middle.y * middle.y).sqrt() / self.half_width();
                let built_up = (CANYON_END - out) / (CANYON_END - CANYON);
                self.roads.push(Road {
                    from: from as u32,
                    to: to as u32,
                    length: ((dx * dx + dy * dy).sqrt() * 10.0).round() / 10.0,
                    class: edge.class,
                    lanes: edge.class.lanes(),
                    heading: (libm::atan2(dx, dy).to_degrees().rem_euclid(360.0) * 10.0).round() / 10.0 % 360.0,
                    street,
                    cell: self.cell_at(middle),
                    tunnel,
                    canyon: edge.class != RoadClass::Motorway && !tunnel && high < built_up,
                });
            }
        }
        self.streets = streets::names(rng, &stretches);
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
        let half = self.half_width();
        let size = 2.0 * half / f64::from(self.cells);
        let middle = |k: u16| f64::from(k) * size - half + size / 2.0;
        for row in 0..self.cells {
            for column in 0..self.cells {
                self.stations.push(Place { x: middle(column), y: middle(row) });
            }
        }
    }

    /// The junction near a place.
    pub fn junction_near(&self, place: Place) -> u32 {
        let (row, column) = self.layout.nearest(place);
        (row * self.layout.side + column) as u32
    }

    /// Half the city's width in metres; its centre is at (0, 0).
    pub fn half_width(&self) -> f64 {
        self.layout.half_width()
    }

    /// Roads that leave a junction.
    pub fn leaving(&self, junction: u32) -> &[u32] {
        let j = junction as usize;
        &self.out[self.out_start[j] as usize..self.out_start[j + 1] as usize]
    }

    /// For each junction, the roads that end there, in their order.
    pub fn arriving(&self) -> Vec<Vec<u32>> {
        let mut arriving = vec![Vec::new(); self.junctions.len()];
        for (road, r) in self.roads.iter().zip(0..) {
            arriving[road.to as usize].push(r);
        }
        arriving
    }

    /// Number of weather and air cells.
    pub fn cell_count(&self) -> usize {
        usize::from(self.cells) * usize::from(self.cells)
    }

    /// The cell that a place lies in.
    pub fn cell_at(&self, place: Place) -> u16 {
        let size = 2.0 * self.half_width() / f64::from(self.cells);
        let index = |v: f64| (((v + self.half_width()) / size).floor().max(0.0) as u16).min(self.cells - 1);
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
        (round(lat, 1e6), round(lon, 1e6))
    }

    /// The district that a place lies in, as an index into [`DISTRICTS`]: the old town, or a sector around it.
    pub fn district(&self, place: Place) -> usize {
        if (place.x * place.x + place.y * place.y).sqrt() < OLD_TOWN * self.half_width() {
            return DISTRICTS.len() - 1;
        }
        let sectors = DISTRICTS.len() - 1;
        let turn = libm::atan2(place.x, place.y) / std::f64::consts::TAU;
        (turn * sectors as f64).round().rem_euclid(sectors as f64) as usize
    }

    /// Name of a road's street.
    pub fn street_name(&self, road: &Road) -> String {
        self.streets[usize::from(road.street)].clone()
    }
}

/// Radius of the old town as a share of half the city's width: as large as the other districts.
const OLD_TOWN: f64 = 0.35;

/// Names of the districts: from the north clockwise, then the centre.
pub const DISTRICTS: [&str; 9] = [
    "Northgate",
    "Highfield",
    "Eastbrook",
    "Marsh End",
    "Southgate",
    "Southwick",
    "Westfield",
    "Northmoor",
    "Old Town",
];

/// A two-way road before it is laid.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: usize,
    to: usize,
    class: RoadClass,
    /// Whether its line runs east.
    eastward: bool,
    /// Its line, and the crossing line where it begins.
    line: usize,
    at: usize,
}

impl Edge {
    /// What has one name: a part of a line, in pieces.
    fn stretch_key(&self, layout: Layout) -> (bool, usize, super::layout::Part, usize) {
        let part = layout.part(self.line, self.at);
        // The motorway's quarters have one name each.
        let piece = if self.class == RoadClass::Motorway { 0 } else { self.at / NAMED_ALIKE };
        (self.eastward, self.line, part, piece)
    }

    fn stretch(&self, layout: Layout) -> Stretch {
        let far = self.line >= layout.side / 2;
        let quarter = match (self.eastward, far) {
            (false, true) => 0,
            (true, true) => 1,
            (false, false) => 2,
            (true, false) => 3,
        };
        Stretch { quarter, class: self.class, part: layout.part(self.line, self.at) }
    }

    /// Whether it is the main road north through the centre.
    fn is_central(&self, layout: Layout) -> bool {
        !self.eastward && self.line == layout.main_line() && self.at + 1 == layout.main_line()
    }
}

/// All roads of the grid.
fn edges(layout: Layout) -> Vec<Edge> {
    let side = layout.side;
    let mut edges = Vec::with_capacity(2 * side * side);
    for i in 0..side {
        for j in 0..side {
            let from = i * side + j;
            if j + 1 < side {
                edges.push(Edge { from, to: from + 1, class: layout.class(i), eastward: true, line: i, at: j });
            }
            if i + 1 < side {
                edges.push(Edge { from, to: from + side, class: layout.class(j), eastward: false, line: j, at: i });
            }
        }
    }
    edges
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
            assert!(road.length > 400.0 && road.length < 1_700.0);
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

    #[test]
    fn every_city_has_a_tunnel_each_way_and_high_buildings_in_its_centre_alone() {
        for vehicles in [1, 2_000, 400_000] {
            let network = network(vehicles);
            let tunnels: Vec<_> = network.roads.iter().filter(|r| r.tunnel).collect();
            assert!(tunnels.len() >= 2 && tunnels.len() < network.roads.len() / 50, "{} tunnels", tunnels.len());
            for t in &tunnels {
                assert!(t.class == RoadClass::Arterial && !t.canyon);
                assert!(tunnels.iter().any(|back| back.from == t.to && back.to == t.from), "one way only");
            }
            let canyons = network.roads.iter().filter(|r| r.canyon).count();
            assert!(canyons > network.roads.len() / 50 && canyons < network.roads.len() / 5, "{canyons} canyons");
            for (r, road) in network.roads.iter().enumerate() {
                let p = network.place_on(r as u32, road.length / 2.0);
                let out = (p.x * p.x + p.y * p.y).sqrt() / network.half_width();
                assert!(!road.canyon || out < CANYON_END);
                assert!(road.canyon || road.tunnel || out >= CANYON);
            }
        }
    }

    #[test]
    fn districts_lie_around_the_old_town_and_are_alike_in_size() {
        let network = network(2_000);
        let at = |x: f64, y: f64| DISTRICTS[network.district(Place { x, y })];
        assert_eq!(at(100.0, -100.0), "Old Town");
        assert_eq!(
            [at(0.0, 9e3), at(9e3, 0.0), at(0.0, -9e3), at(-9e3, 0.0)],
            ["Northgate", "Eastbrook", "Southgate", "Westfield"]
        );
        let mut count = [0; 9];
        network.junctions.iter().for_each(|p| count[network.district(*p)] += 1);
        assert!(count.iter().all(|n| (40..100).contains(n)), "{count:?}");
    }

    #[test]
    fn a_street_keeps_its_name_for_a_while() {
        let network = network(2_000);
        let mut roads = BTreeMap::<String, usize>::new();
        for road in network.roads.iter().filter(|r| r.class != RoadClass::Motorway) {
            *roads.entry(network.street_name(road)).or_default() += 1;
        }
        assert!(roads.len() > 200, "{} names", roads.len());
        assert!(roads.values().all(|n| *n <= 2 * 2 * NAMED_ALIKE), "{roads:?}");
    }
}
