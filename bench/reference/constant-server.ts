/** The reference for resolve: bare node:http answering a constant of the size given as the first argument. */
import { createServer } from 'node:http';

const body = Buffer.alloc(Number(process.env['BODY_BYTES']), 'x');
const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(`http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`);
});
process.once('disconnect', () => process.exit(0));
