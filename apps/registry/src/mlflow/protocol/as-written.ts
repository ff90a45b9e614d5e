import { WrongType } from './mlflow-error.js';

/** A refusal of `9.0` that JSON.parse has made a 9 shows what the sender wrote, which to Python is a float. */
export function asWritten(refusal: unknown, body: Buffer | undefined): unknown {
  if (body === undefined || !(refusal instanceof WrongType)) return refusal;
  const { path, value } = refusal;
  const name = path.slice(path.lastIndexOf('.') + 1);
  if (typeof value !== 'number' || !Number.isInteger(value) || !/^\w+$/.test(name)) return refusal;
  const written = new RegExp(`"${name}"\\s*:\\s*${value}\\.0+\\s*[,}]`);
  return written.test(body.toString('utf8')) ? new WrongType(path, value, `${value}.0`, 'float') : refusal;
}
