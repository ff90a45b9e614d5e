import { Transform } from 'class-transformer';

const VERBATIM = Symbol('verbatim');

/**
 * A field of free-form JSON, taken over exactly as it was parsed: class-transformer's deep copy drops or stumbles
 * over keys such as `constructor`, and what is stored must be what was sent. Works together with the validation pipe.
 */
export function Verbatim(): PropertyDecorator {
  return (target, key) => {
    Reflect.defineMetadata(VERBATIM, [...verbatimKeys(target), key], target);
    Transform(({ value }) => (typeof value === 'function' ? (value as () => unknown)() : (value as unknown)))(
      target,
      key,
    );
  };
}

/** Wraps the verbatim fields of a request in functions, which class-transformer passes on untouched. */
export function wrapVerbatim(body: object, dto: object): object {
  const wrapped = verbatimKeys(dto)
    .filter((key) => Object.hasOwn(body, key))
    .map((key) => {
      const raw = (body as Record<string | symbol, unknown>)[key];
      return [key, () => raw] as const;
    });
  return wrapped.length === 0 ? body : { ...body, ...Object.fromEntries(wrapped) };
}

function verbatimKeys(dto: object): readonly (string | symbol)[] {
  return (Reflect.getMetadata(VERBATIM, dto) as (string | symbol)[] | undefined) ?? [];
}
