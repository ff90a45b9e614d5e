/** What can be told that one of its callbacks has thrown. */
interface Crashable {
  onCrash(error: unknown): void;
}

/**
 * Method decorator for callbacks, of one argument at most: what they throw goes to `onCrash`. Whoever calls them (undici, a timer, the spool,
 * the queue of another request) can do nothing with it: it would be swallowed, or end the process.
 */
export function guarded(_target: Crashable, _name: string, descriptor: PropertyDescriptor): void {
  const method = descriptor.value as (this: Crashable, given: unknown) => void;
  descriptor.value = function (this: Crashable, given: unknown): void {
    try {
      method.call(this, given);
    } catch (error) {
      this.onCrash(error);
    }
  };
}
