import { DATA_CLASSES, higherClass, isDataClass, type DataClass } from '#libs/core/clearance/clearance.js';
import { badRequest } from '../http/gateway-error.js';

/**
 * What a request carries: what its endpoint does, or more where the header `x-catena-data-class` or
 * `metadata.dataClass` says so. Never less.
 * @throws GatewayError 400 for what is no class: passed over, it would be data that nobody takes care of.
 */
export function carriedClass(ofEndpoint: DataClass, header: unknown, metadata: unknown): DataClass {
  let carried = ofEndpoint;
  if (header !== undefined) carried = higherClass(carried, checked(header, 'x-catena-data-class'));
  if (metadata !== undefined && metadata !== null)
    carried = higherClass(carried, checked(metadata, 'metadata.dataClass'));
  return carried;
}

function checked(value: unknown, param: string): DataClass {
  if (isDataClass(value)) return value;
  throw badRequest('bad_data_class', `"${param}" must be one of ${DATA_CLASSES.join(', ')}.`, param);
}
