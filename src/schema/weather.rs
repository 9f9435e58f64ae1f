//! `weather_data`: a station's reading of weather and air.

use super::field::{Field, Kind::*};

pub(super) const FIELDS: &[Field] = &[
    Field::original("id", Text, "id", "UUIDv8 of the event"),
    Field::original("deviceId", Text, "device_id", "the station's device"),
    Field::original("location", Point, "location", "the station's place").unit("deg"),
    Field::original("timestamp", Time, "event_time", "when it was measured, by the station's clock"),
    Field::original("temperature", Double, "temperature_c", "air temperature").unit("°C"),
    Field::original("weatherCondition", Text, "weather_condition", "Clear, Cloudy, Rain, Snow or Fog"),
    Field::original("precipitation", Double, "precipitation_mmh", "rain or melted snow").unit("mm/h"),
    Field::original("windSpeed", Double, "wind_speed_kmh", "wind at 10 m").unit("km/h"),
    Field::original("humidity", Int, "humidity_pct", "relative humidity").unit("%"),
    Field::original("airQualityIndex", Int, "aqi", "US EPA index, breakpoints of 2024"),
    Field::added("sentAt", Time, "sent_at", "when the device sent it"),
    Field::added("windDirection", Double, "wind_direction_deg", "where the wind comes from, 0 = north").unit("deg"),
    Field::added("visibilityM", Double, "visibility_m", "horizontal visibility").unit("m"),
    Field::added("pm25", Double, "pm25_ugm3", "fine particles").unit("µg/m³"),
    Field::added("pm10", Double, "pm10_ugm3", "particles").unit("µg/m³"),
    Field::added("no2", Double, "no2_ppb", "nitrogen dioxide").unit("ppb"),
    Field::added("o3", Double, "o3_ppb", "ozone").unit("ppb"),
    Field::added("dominantPollutant", Text, "dominant_pollutant", "the one that sets the index: pm25, pm10, no2 or o3"),
];
