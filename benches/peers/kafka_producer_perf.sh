#!/bin/sh
# Kafka's own producer test with acks=all, which sends random lines of a file:
#   kafka_producer_perf.sh SERVERS TOPIC RECORDS PAYLOAD_FILE COMPRESSION [PROPERTY=VALUE]...
# The jars are those of tests/services. JVM options as kafka-producer-perf-test.sh and kafka-run-class.sh give them.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${KAFKA_CLASSPATH:-}" ]; then
  KAFKA_CLASSPATH=$(PYTHONPATH="$root/tests" python3 -c 'from services.jars import classpath; print(classpath("pom-kraft.xml"))')
fi
servers=$1 topic=$2 records=$3 payload=$4 compression=$5
shift 5
exec java -Xmx512M -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
  -XX:+ExplicitGCInvokesConcurrent -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$KAFKA_CLASSPATH" \
  org.apache.kafka.tools.ProducerPerformance --topic "$topic" --num-records "$records" --payload-file "$payload" \
  --throughput -1 --command-property "bootstrap.servers=$servers" acks=all "compression.type=$compression" "$@"
