-- gold.incident_response: the life of each incident
-- grain:    one row for each incident
-- key:      incident_id
-- window:   whole
-- sources:  silver.emergency, dim.road
-- lookback: none
-- columns:
--   incident_id       text       -    the incident
--   incident_type     text       -    Accident, Fire, Medical, Police or Breakdown
--   severity          int        -    1 slight to 3 severe: the highest reported
--   road_id           text       -    the road that it is on
--   district          text       -    the district of that road's start
--   lat               double     deg  its place
--   lon               double     deg  its place
--   status            text       -    how far it has come
--   steps             bigint     -    events of it
--   reported_at       timestamp  -    first Reported
--   dispatched_at     timestamp  -    first Dispatched
--   on_scene_at       timestamp  -    first OnScene
--   lanes_cleared_at  timestamp  -    first LanesCleared
--   resolved_at       timestamp  -    first Resolved
--   dispatch_s        double     s    from reported to dispatched
--   response_s        double     s    from reported to on scene
--   clearance_s       double     s    from on scene to lanes cleared
--   duration_s        double     s    from reported to resolved
--   lanes_blocked     int        -    most lanes blocked at once
--   responder_id      text       -    the vehicle that was sent
--   window_date       date       -    UTC date of its first event

with step as (
    select
        *,
        case status
            when 'Reported' then 1
            when 'Dispatched' then 2
            when 'OnScene' then 3
            when 'LanesCleared' then 4
            when 'Resolved' then 5
        end as status_rank,
        row_number() over (partition by incident_id order by event_time, id) as nth
    from silver.emergency
),

life as (
    select
        incident_id,
        max(case when nth = 1 then incident_type end) as incident_type,
        max(severity) as severity,
        max(case when nth = 1 then road_id end) as road_id,
        max(case when nth = 1 then lat end) as lat,
        max(case when nth = 1 then lon end) as lon,
        max(status_rank) as status_rank,
        count(*) as steps,
        min(event_time) as first_at,
        min(case when status = 'Reported' then event_time end) as reported_at,
        min(case when status = 'Dispatched' then event_time end) as dispatched_at,
        min(case when status = 'OnScene' then event_time end) as on_scene_at,
        min(case when status = 'LanesCleared' then event_time end) as lanes_cleared_at,
        min(case when status = 'Resolved' then event_time end) as resolved_at,
        max(lanes_blocked) as lanes_blocked,
        max(responder_id) as responder_id
    from step
    group by 1
)

select
    life.incident_id,
    life.incident_type,
    life.severity,
    life.road_id,
    road.district,
    life.lat,
    life.lon,
    case life.status_rank
        when 1 then 'Reported'
        when 2 then 'Dispatched'
        when 3 then 'OnScene'
        when 4 then 'LanesCleared'
        when 5 then 'Resolved'
    end as status,
    life.steps,
    life.reported_at,
    life.dispatched_at,
    life.on_scene_at,
    life.lanes_cleared_at,
    life.resolved_at,
    -- Seconds since 1970 have a quarter of a microsecond to spare: rounded, the difference is exact.
    round(cast(extract(epoch from life.dispatched_at) - extract(epoch from life.reported_at) as double), 6) as dispatch_s,
    round(cast(extract(epoch from life.on_scene_at) - extract(epoch from life.reported_at) as double), 6) as response_s,
    round(cast(extract(epoch from life.lanes_cleared_at) - extract(epoch from life.on_scene_at) as double), 6) as clearance_s,
    round(cast(extract(epoch from life.resolved_at) - extract(epoch from life.reported_at) as double), 6) as duration_s,
    life.lanes_blocked,
    life.responder_id,
    cast(life.first_at as date) as window_date
from life
left join dim.road as road on life.road_id = road.road_id
