#!/bin/sh
# Kafka's own consumer test: reads a topic from its start and drops each record: kafka_consumer_perf.sh SERVERS TOPIC RECORDS
# The jars are those of tests/services. JVM options as kafka-consumer-perf-test.sh and kafka-run-class.sh give them.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${KAFKA_CLASSPATH:-}" ]; then
  KAFKA_CLASSPATH=$(PYTHONPATH="$root/tests" python3 -c 'from services.jars import classpath; print(classpath("pom-kraft.xml"))')
fi
exec java -Xmx512M -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
  -XX:+ExplicitGCInvokesConcurrent -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$KAFKA_CLASSPATH" \
  org.apache.kafka.tools.ConsumerPerformance --bootstrap-server "$1" --topic "$2" --num-records "$3"
