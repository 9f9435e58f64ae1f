//! What a camera shows: a plan of the carriageway that it watches, and the vehicles on it where they really are.
//!
//! North is up and a pixel is [`METRES`] wide; the camera's place is in the middle. Of the roads only the camera's own is
//! drawn, since of others it knows no vehicles: an empty road would be a lie. Vehicles drive on the left; a lane is
//! [`LANE`] wide `[assumed]`, and a vehicle is as long and as wide as its class. A vehicle's place is its front, marked by
//! one pixel of [`LAMP`] that no other vehicle hides.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::{device, png};
use crate::city::City;
use crate::city::fleet::VehicleType;
use crate::city::network::{Camera, Place};

/// Columns.
pub const WIDTH: u32 = 160;
/// Rows.
pub const HEIGHT: u32 = 120;
/// Metres a pixel.
pub const METRES: f64 = 0.5;
/// Width of a lane in metres.
pub const LANE: f64 = 3.5;

/// What is no road.
pub const GROUND: u8 = 0;
/// The carriageway.
pub const ASPHALT: u8 = 1;
/// Lines on it.
pub const LINE: u8 = 2;
/// Cars, vans, goods vehicles and emergency vehicles have the colours from this one on.
pub const VEHICLE: u8 = 3;
/// Where a vehicle's front is.
pub const LAMP: u8 = 7;

const PALETTE: [[u8; 3]; 8] = [
    [0x6b, 0x7f, 0x5c],
    [0x3c, 0x3f, 0x44],
    [0xd8, 0xd8, 0xd0],
    [0x4f, 0x8f, 0xd6],
    [0xe8, 0xa3, 0x3d],
    [0x9a, 0x62, 0x3c],
    [0xd6, 0x3b, 0x3b],
    [0xff, 0xff, 0xff],
];

/// Dashes between lanes: so long, each so far from the next, in metres.
const DASH: (f64, f64) = (2.0, 6.0);
/// Half the width of a line in metres: one pixel has to meet it wherever it lies.
const HALF_LINE: f64 = 0.3;

/// A vehicle as cameras tell them apart.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// 0 cars, 1 vans, 2 goods vehicles, 3 emergency vehicles.
    pub number: usize,
    /// Metres.
    pub length: f64,
    /// Metres.
    pub width: f64,
}

impl Class {
    /// The class of a vehicle; its measures are `[assumed]`.
    pub fn of(kind: VehicleType) -> Self {
        let (number, length, width) = match kind {
            VehicleType::Car => (0, 4.4, 1.8),
            VehicleType::Van => (1, 5.5, 2.0),
            VehicleType::Goods => (2, 9.0, 2.5),
            _ => (3, 6.0, 2.2),
        };
        Self { number, length, width }
    }
}

/// A vehicle on the camera's road.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Metres from the road's start to its front.
    pub offset: f64,
    /// Its lane, 0 at the kerb.
    pub lane: u8,
    /// What it is.
    pub kind: VehicleType,
}

/// A rendered picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The camera's number.
    pub camera: u32,
    /// SHA-256 of `png`.
    pub sha: [u8; 32],
    /// The file.
    pub png: Vec<u8>,
}

impl Picture {
    /// The picture of a camera, with the vehicles on its road.
    pub fn render(city: &City, number: u32, vehicles: &[Seen]) -> Self {
        let camera = &city.network.cameras[number as usize];
        let png = png::encode(WIDTH, &paint(city, camera, vehicles), &PALETTE);
        Self { camera: number, sha: Sha256::digest(&png).into(), png }
    }

    /// Its name: a relative URI, resolved against the folder that pictures are written to.
    pub fn name(&self) -> String {
        name(self.camera, &self.sha)
    }
}

/// The name of a camera's picture. It depends on the bytes, not on when they were made: an empty road is drawn often and
/// kept once, and whoever makes a picture again makes the same file.
pub fn name(camera: u32, sha: &[u8; 32]) -> String {
    format!("{}{camera:0digits$}/{}.png", device::CAMERA.0, hexadecimal(sha), digits = device::CAMERA.1)
}

/// A checksum as text.
pub fn hexadecimal(sha: &[u8; 32]) -> String {
    sha.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The pixels, row by row.
fn paint(city: &City, camera: &Camera, vehicles: &[Seen]) -> Vec<u8> {
    let road = &city.network.roads[camera.road as usize];
    let view = View::new(city, camera);
    let mut pixels = vec![GROUND; (WIDTH * HEIGHT) as usize];
    let (start, end) = (-camera.offset, road.length - camera.offset);
    let lanes = f64::from(road.lanes);
    view.fill(&mut pixels, (start, end), (0.0, lanes * LANE), |_| Some(ASPHALT));
    for line in 0..=road.lanes {
        let edge = line == 0 || line == road.lanes;
        let at = f64::from(line) * LANE;
        // Dashes begin at the road's start, so that they lie still.
        let dash = |along: f64| (edge || (along - start) % DASH.1 < DASH.0).then_some(LINE);
        view.fill(&mut pixels, (start, end), (at - HALF_LINE, at + HALF_LINE), dash);
    }
    for vehicle in vehicles {
        let class = Class::of(vehicle.kind);
        let (front, middle) = (vehicle.offset - camera.offset, middle_of(road.lanes, vehicle.lane));
        let (long, wide) = ((front - class.length, front), (middle - class.width / 2.0, middle + class.width / 2.0));
        view.fill(&mut pixels, long, wide, |_| Some(VEHICLE + class.number as u8));
    }
    for vehicle in vehicles {
        let middle = middle_of(road.lanes, vehicle.lane);
        if let Some(pixel) = view.pixel(vehicle.offset - camera.offset, middle) {
            pixels[pixel] = LAMP;
        }
    }
    pixels
}

/// Metres to the left of the line between the directions, for the middle of a lane.
fn middle_of(lanes: u8, lane: u8) -> f64 {
    (f64::from(lanes) - f64::from(lane) - 0.5) * LANE
}

/// How the camera's road lies in the picture. Places are metres along the road from the camera, and metres to the left of
/// the line between the directions.
struct View {
    /// The direction of travel.
    east: f64,
    north: f64,
}

impl View {
    fn new(city: &City, camera: &Camera) -> Self {
        let road = &city.network.roads[camera.road as usize];
        let (from, to) = (city.network.junctions[road.from as usize], city.network.junctions[road.to as usize]);
        let (x, y) = (to.x - from.x, to.y - from.y);
        // Square root and division are exact to the last bit on every machine.
        let far = (x * x + y * y).sqrt();
        if far > 0.0 { Self { east: x / far, north: y / far } } else { Self { east: 0.0, north: 1.0 } }
    }

    /// Metres east and north of the camera.
    fn place(&self, along: f64, left: f64) -> Place {
        Place { x: along * self.east - left * self.north, y: along * self.north + left * self.east }
    }

    /// The pixel of a place.
    fn pixel(&self, along: f64, left: f64) -> Option<usize> {
        let Place { x, y } = self.place(along, left);
        let column = (x / METRES).floor() + f64::from(WIDTH / 2);
        let row = (-y / METRES).floor() + f64::from(HEIGHT / 2);
        let inside = (0.0..f64::from(WIDTH)).contains(&column) && (0.0..f64::from(HEIGHT)).contains(&row);
        inside.then_some(row as usize * WIDTH as usize + column as usize)
    }

    /// Paints the pixels whose middles lie so far along and so far left.
    fn fill(
        &self,
        pixels: &mut [u8],
        (from, to): (f64, f64),
        (right, left): (f64, f64),
        colour: impl Fn(f64) -> Option<u8>,
    ) {
        // No pixel is farther from the camera than the picture's half diagonal.
        let reach = METRES * f64::from(WIDTH);
        let (from, to) = (from.max(-reach), to.min(reach));
        if from >= to {
            return;
        }
        let corners = [(from, right), (from, left), (to, right), (to, left)].map(|(a, l)| self.place(a, l));
        let span = |least: f64, most: f64, size: u32| {
            let half = f64::from(size / 2);
            let clamp = |v: f64| v.clamp(0.0, f64::from(size)) as u32;
            clamp((least / METRES).floor() + half)..clamp((most / METRES).ceil() + half)
        };
        let (mut west, mut east, mut south, mut north) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
        for Place { x, y } in corners {
            (west, east, south, north) = (west.min(x), east.max(x), south.min(y), north.max(y));
        }
        for row in span(-north, -south, HEIGHT) {
            for column in span(west, east, WIDTH) {
                let x = (f64::from(column) - f64::from(WIDTH / 2) + 0.5) * METRES;
                let y = -(f64::from(row) - f64::from(HEIGHT / 2) + 0.5) * METRES;
                let (along, across) = (x * self.east + y * self.north, y * self.east - x * self.north);
                if (from..to).contains(&along)
                    && (right..left).contains(&across)
                    && let Some(colour) = colour(along)
                {
                    pixels[(row * WIDTH + column) as usize] = colour;
                }
            }
        }
    }
}
