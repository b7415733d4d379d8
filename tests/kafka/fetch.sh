#!/bin/sh
# Puts Apache Kafka's jars (broker and tools) into a directory with Maven, for the tests marked `kafka`.
# Usage: fetch.sh [DIR]   (default .cache/kafka). A second run with the same version does nothing.
# It starts nothing and installs neither Java nor Maven: tests/kafka/cluster.py runs the broker.
set -eu

KAFKA=4.4.0
# Kafka's published dependencies have slf4j without a backend: a broker that fails to start would say nothing.
SLF4J=1.7.36

dir=${1:-.cache/kafka}
stamp="$dir/.kafka-$KAFKA"
[ -f "$stamp" ] && exit 0

fail() {
    echo "fetch.sh: $*" >&2
    exit 1
}

command -v java >/dev/null 2>&1 || fail "no java on PATH: Kafka $KAFKA needs Java 17 or newer"
command -v mvn >/dev/null 2>&1 || fail "no mvn on PATH: install Maven 3, it resolves Kafka's jars"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>mimamori</groupId>
  <artifactId>kafka-for-tests</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$KAFKA</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$SLF4J</version>
    </dependency>
  </dependencies>
</project>
POM

mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory="$work/jars" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    fail "Maven could not resolve Kafka $KAFKA (its last lines stand above)"
}

# Jars of another version must not stay on the class path, and a half-filled directory must not look finished.
mkdir -p "$dir"
rm -f "$dir"/*.jar "$dir"/.kafka-*
mv "$work"/jars/*.jar "$dir"/
touch "$stamp"
