// @ts-check
// Runs inside the test host: one JSON object per line from the virtio port, {id, command, args, timeoutMs, input}, is a
// shell command; its answer is {id, code, signal, timedOut, stdout, stderr}. Commands run side by side.
import { spawn } from 'node:child_process';
import { existsSync, openSync, read, readFileSync, readdirSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';

const PORTS = '/sys/class/virtio-ports';
/** How long to wait before reading again from a port nobody is connected to: such a read ends at once, without data. */
const RETRY_MS = 20;

/** @returns {string} the device, found without udev's help */
function findPort() {
  const names = existsSync(PORTS) ? readdirSync(PORTS) : [];
  const name = names.find((entry) => readFileSync(`${PORTS}/${entry}/name`, 'utf8').trim() === 'test-host');
  if (name === undefined) throw new Error('this machine was started without the port test-host');
  return `/dev/${name}`;
}

const port = openSync(findPort(), 'r+');

/** @param {object} message */
function send(message) {
  const data = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let at = 0; at < data.length; at += writeSync(port, data, at));
}

/** @param {{id: number, command: string, args: string[], timeoutMs: number, input: string}} request */
function run({ id, command, args, timeoutMs, input }) {
  const child = spawn('/bin/bash', ['-c', command, 'bash', ...args], { detached: true, stdio: 'pipe' });
  /** @type {Buffer[]} */
  const stdout = [];
  /** @type {Buffer[]} */
  const stderr = [];
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // Gone; but somebody else has its pipes.
    }
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  child.stdout.on('data', (/** @type {Buffer} */ data) => stdout.push(data));
  child.stderr.on('data', (/** @type {Buffer} */ data) => stderr.push(data));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  child.once('close', (code, signal) => {
    clearTimeout(timer);
    const text = { stdout: String(Buffer.concat(stdout)), stderr: String(Buffer.concat(stderr)) };
    send({ id, code, signal, timedOut, ...text });
  });
}

const decoder = new StringDecoder('utf8');
let rest = '';
const buffer = Buffer.alloc(65_536);

function next() {
  read(port, buffer, 0, buffer.length, null, (error, length) => {
    if (error !== null) throw error;
    if (length === 0) {
      setTimeout(next, RETRY_MS);
      return;
    }
    const lines = (rest + decoder.write(buffer.subarray(0, length))).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) run(JSON.parse(line));
    next();
  });
}

send({ ready: true });
next();
