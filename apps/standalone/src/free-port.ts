import { createServer } from 'node:net';

/** A port that is free now. Nothing holds it: whoever binds it first has it. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  return bind(0, host);
}

/** @throws Error that names the port and the variable that moves it. */
export async function assertFree(port: number, host: string, variable: string): Promise<void> {
  try {
    await bind(port, host);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason =
      code === 'EADDRINUSE'
        ? `Port ${port} on ${host} is in use by another program. End that program, or set ${variable} to a free port.`
        : code === 'EACCES'
          ? `Port ${port} on ${host} needs more rights than this user has. Set ${variable} to a port above 1023.`
          : `Port ${port} on ${host} cannot be used (${code}). Check CATENA_HOST and ${variable}.`;
    throw new Error(reason, { cause: error });
  }
}

function bind(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(port, host, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : port));
    });
  });
}
