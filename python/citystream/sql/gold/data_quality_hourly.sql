-- gold.data_quality_hourly: what became of each stream's records
-- grain:    one row for each stream and hour in which records were taken in
-- key:      stream, window_start
-- window:   1 hour
-- sources:  bronze.vehicle by ingested_at, bronze.gps by ingested_at, bronze.traffic by ingested_at, bronze.weather by ingested_at, bronze.emergency by ingested_at, silver.vehicle by ingested_at, silver.gps by ingested_at, silver.traffic by ingested_at, silver.weather by ingested_at, silver.emergency by ingested_at, silver.quarantine by ingested_at, silver.duplicate by ingested_at
-- lookback: none
-- columns:
--   stream          text       -  the stream
--   window_start    timestamp  -  start of the hour of ingested_at
--   window_end      timestamp  -  end of that hour, exclusive
--   received        bigint     -  rows in bronze
--   accepted        bigint     -  rows of these in silver
--   dead_letter     bigint     -  records of these that could not be decoded
--   quarantine      bigint     -  rows of these that broke a rule
--   duplicate       bigint     -  rows of these that were copies
--   accepted_share  double     -  accepted as a share of received
--   late            bigint     -  accepted rows sent more than 60 s after they were measured
--   lateness_p50_s  double     s  median lateness of accepted rows
--   lateness_p95_s  double     s  95th percentile of their lateness
--   lateness_max_s  double     s  greatest lateness
--   window_date     date       -  UTC date of window_start

-- A batch has one ingested_at, so that few rows are left to be put into hours.
with received as (
    select
        'vehicle' as stream,
        ingested_at,
        count(*) as received,
        count(error_reason) as dead_letter
    from bronze.vehicle
    where ingested_at >= $from and ingested_at < $to
    group by 2
    union all
    select
        'gps' as stream,
        ingested_at,
        count(*) as received,
        count(error_reason) as dead_letter
    from bronze.gps
    where ingested_at >= $from and ingested_at < $to
    group by 2
    union all
    select
        'traffic' as stream,
        ingested_at,
        count(*) as received,
        count(error_reason) as dead_letter
    from bronze.traffic
    where ingested_at >= $from and ingested_at < $to
    group by 2
    union all
    select
        'weather' as stream,
        ingested_at,
        count(*) as received,
        count(error_reason) as dead_letter
    from bronze.weather
    where ingested_at >= $from and ingested_at < $to
    group by 2
    union all
    select
        'emergency' as stream,
        ingested_at,
        count(*) as received,
        count(error_reason) as dead_letter
    from bronze.emergency
    where ingested_at >= $from and ingested_at < $to
    group by 2
),

accepted as (
    select 'vehicle' as stream, ingested_at, lateness_s from silver.vehicle
    where ingested_at >= $from and ingested_at < $to
    union all
    select 'gps' as stream, ingested_at, lateness_s from silver.gps
    where ingested_at >= $from and ingested_at < $to
    union all
    select 'traffic' as stream, ingested_at, lateness_s from silver.traffic
    where ingested_at >= $from and ingested_at < $to
    union all
    select 'weather' as stream, ingested_at, lateness_s from silver.weather
    where ingested_at >= $from and ingested_at < $to
    union all
    select 'emergency' as stream, ingested_at, lateness_s from silver.emergency
    where ingested_at >= $from and ingested_at < $to
),

received_hourly as (
    select
        stream,
        time_bucket(interval '1' hour, ingested_at) as window_start,
        cast(sum(received) as bigint) as received,
        cast(sum(dead_letter) as bigint) as dead_letter
    from received
    group by 1, 2
),

-- Percentiles by counts of equal values: a percentile function would hold every row of an hour in memory. The number of
-- an hour costs less for each row than its time.
counted as (
    select
        stream,
        epoch_us(ingested_at) // 3600000000 as hour_number,
        lateness_s,
        count(*) as n
    from accepted
    group by 1, 2, 3
),

cumulated as (
    select
        stream,
        hour_number,
        lateness_s,
        n,
        sum(n) over (partition by stream, hour_number order by lateness_s) as up_to,
        0.50 * (sum(n) over (partition by stream, hour_number) - 1) as p50_at,
        0.95 * (sum(n) over (partition by stream, hour_number) - 1) as p95_at
    from counted
),

-- The value at place k, from 0, is the lowest up to which there are more than k.
accepted_hourly as (
    select
        stream,
        to_timestamp(hour_number * 3600) as window_start,
        cast(sum(n) as bigint) as accepted,
        cast(coalesce(sum(case when lateness_s > 60 then n end), 0) as bigint) as late,
        max(p50_at - floor(p50_at)) as p50_part,
        max(p95_at - floor(p95_at)) as p95_part,
        min(case when up_to > floor(p50_at) then lateness_s end) as p50_low,
        min(case when up_to > ceil(p50_at) then lateness_s end) as p50_high,
        min(case when up_to > floor(p95_at) then lateness_s end) as p95_low,
        min(case when up_to > ceil(p95_at) then lateness_s end) as p95_high,
        max(lateness_s) as lateness_max_s
    from cumulated
    group by 1, 2
),

quarantine_hourly as (
    select
        stream,
        time_bucket(interval '1' hour, ingested_at) as window_start,
        count(*) as quarantine
    from silver.quarantine
    where ingested_at >= $from and ingested_at < $to
    group by 1, 2
),

duplicate_hourly as (
    select
        stream,
        time_bucket(interval '1' hour, ingested_at) as window_start,
        count(*) as duplicate
    from silver.duplicate
    where ingested_at >= $from and ingested_at < $to
    group by 1, 2
)

select
    r.stream,
    r.window_start,
    r.window_start + interval '1' hour as window_end,
    r.received,
    coalesce(a.accepted, 0) as accepted,
    r.dead_letter,
    coalesce(q.quarantine, 0) as quarantine,
    coalesce(d.duplicate, 0) as duplicate,
    cast(coalesce(a.accepted, 0) as double) / r.received as accepted_share,
    coalesce(a.late, 0) as late,
    cast(a.p50_low + a.p50_part * (a.p50_high - a.p50_low) as double) as lateness_p50_s,
    cast(a.p95_low + a.p95_part * (a.p95_high - a.p95_low) as double) as lateness_p95_s,
    cast(a.lateness_max_s as double) as lateness_max_s,
    cast(r.window_start as date) as window_date
from received_hourly as r
left join accepted_hourly as a on r.stream = a.stream and r.window_start = a.window_start
left join quarantine_hourly as q on r.stream = q.stream and r.window_start = q.window_start
left join duplicate_hourly as d on r.stream = d.stream and r.window_start = d.window_start
