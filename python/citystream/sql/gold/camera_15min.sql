-- gold.camera_15min: what each camera saw
-- grain:    one row for each camera and window with at least one of its intervals
-- key:      camera_id, window_start
-- window:   15 minutes
-- sources:  silver.traffic by event_time, dim.camera, dim.road
-- lookback: 60 seconds
-- columns:
--   camera_id        text       -      the camera
--   window_start     timestamp  -      start of the window
--   window_end       timestamp  -      end of the window, exclusive
--   road_id          text       -      the road that it watches
--   district         text       -      the district of that road's start
--   lat              double     deg    where it looks
--   lon              double     deg    where it looks
--   intervals        bigint     -      intervals counted
--   observed_s       bigint     s      their length together
--   vehicle_count    bigint     -      vehicles that passed
--   car_count        bigint     -      cars that passed
--   van_count        bigint     -      vans that passed
--   goods_count      bigint     -      goods vehicles that passed
--   emergency_count  bigint     -      emergency vehicles that passed
--   flow_vehh        double     veh/h  flow while it observed
--   goods_share      double     -      goods vehicles among those that passed
--   mean_speed_kmh   double     km/h   time-mean speed
--   p85_speed_kmh    double     km/h   85th percentile of the speeds, from the summed histograms
--   occupancy        double     -      share of the observed time in which the spot was covered, per lane
--   headway_s        double     s      mean time between two vehicles of one interval
--   queue_m          double     m      longest queue seen
--   window_date      date       -      UTC date of window_start

-- An interval belongs to the window that holds its middle, so that a camera's clock can be off by seconds.
with placed as (
    select
        *,
        event_time - interval '500' millisecond * interval_s as middle
    from silver.traffic
    where event_time >= $from - interval '60' second and event_time < $to + interval '60' second
),

camera_interval as (
    select
        *,
        time_bucket(interval '15' minute, middle) as window_start
    from placed
    where middle >= $from and middle < $to
),

total as (
    select
        camera_id,
        window_start,
        max(road_id) as road_id,
        max(lat) as lat,
        max(lon) as lon,
        count(*) as intervals,
        cast(sum(interval_s) as bigint) as observed_s,
        cast(sum(vehicle_count) as bigint) as vehicle_count,
        cast(sum(car_count) as bigint) as car_count,
        cast(sum(van_count) as bigint) as van_count,
        cast(sum(goods_count) as bigint) as goods_count,
        cast(sum(emergency_count) as bigint) as emergency_count,
        sum(vehicle_count * mean_speed_kmh)
        / nullif(sum(case when mean_speed_kmh is not null then vehicle_count end), 0) as mean_speed_kmh,
        sum(interval_s * occupancy) / sum(interval_s) as occupancy,
        sum((vehicle_count - 1) * headway_s)
        / nullif(sum(case when headway_s is not null then vehicle_count - 1 end), 0) as headway_s,
        max(queue_m) as queue_m,
        max(array_length(speed_histogram)) - 1 as last_n
    from camera_interval
    group by 1, 2
),

-- Histograms add up where percentiles don't. Bin n holds speeds from 5n km/h; the last one is open.
opened as (
    select
        camera_id,
        window_start,
        unnest(speed_histogram) as vehicles,
        generate_subscripts(speed_histogram, 1) - 1 as n
    from camera_interval
),

bin as (
    select
        camera_id,
        window_start,
        n,
        sum(vehicles) as vehicles
    from opened
    where vehicles > 0
    group by 1, 2, 3
),

cumulated as (
    select
        camera_id,
        window_start,
        n,
        vehicles,
        sum(vehicles) over (partition by camera_id, window_start order by n) as up_to,
        0.85 * sum(vehicles) over (partition by camera_id, window_start) as wanted
    from bin
),

p85 as (
    select
        camera_id,
        window_start,
        n,
        5.0 * n as bin_starts_kmh,
        5.0 * (wanted - (up_to - vehicles)) / vehicles as further_kmh
    from cumulated
    where up_to >= wanted and up_to - vehicles < wanted
)

select
    total.camera_id,
    total.window_start,
    total.window_start + interval '15' minute as window_end,
    total.road_id,
    road.district,
    coalesce(camera.lat, total.lat) as lat,
    coalesce(camera.lon, total.lon) as lon,
    total.intervals,
    total.observed_s,
    total.vehicle_count,
    total.car_count,
    total.van_count,
    total.goods_count,
    total.emergency_count,
    3600.0 * total.vehicle_count / total.observed_s as flow_vehh,
    cast(total.goods_count as double) / nullif(total.vehicle_count, 0) as goods_share,
    total.mean_speed_kmh,
    cast(p85.bin_starts_kmh + case when p85.n < total.last_n then p85.further_kmh else 0.0 end as double) as p85_speed_kmh,
    total.occupancy,
    total.headway_s,
    total.queue_m,
    cast(total.window_start as date) as window_date
from total
left join p85 on total.camera_id = p85.camera_id and total.window_start = p85.window_start
left join dim.camera as camera on total.camera_id = camera.camera_id
left join dim.road as road on total.road_id = road.road_id
