import { Injectable } from '@nestjs/common';

/** How far the gateway is with stopping. */
@Injectable()
export class Drain {
  /** The time for requests in flight is over: from now on it is the gateway that closes connections, not who called. */
  isOver = false;
}
