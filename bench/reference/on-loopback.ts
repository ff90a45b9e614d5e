/** Loaded before a program that listens at every address: it then listens on loopback only, and ends with its parent. */
import { Server } from 'node:net';

const listen: (this: Server, port: number, host: string) => Server = Server.prototype.listen;
Server.prototype.listen = function (this: Server, port: number) {
  return listen.call(this, port, '127.0.0.1');
} as typeof Server.prototype.listen;
process.once('disconnect', () => process.exit(0));
