/**
 * `npm run test:kafka`: what goes through Kafka, against a real broker: Apache Kafka (test/kafka/jars.txt) from Maven Central, kept
 * under `.venv/`, on the Java that is installed, else on one from PyPI. Ends in one line: "N passed, N failed".
 *
 * What follows `--` goes to vitest.
 */
import { runSpecs, tell } from '../support/spec-run.js';
import { findKafka, VERSION } from './find-kafka.js';

const { java, jars } = await findKafka();
console.log(`\n== Apache Kafka ${VERSION}, one node, KRaft; ${java}`);
tell(runSpecs('test/kafka/vitest.config.ts', { KAFKA_JAVA: java, KAFKA_JARS: jars }, process.argv.slice(2)));
