/** Of JSON Schema, in which contents are described. */
export const DIALECT = 'https://json-schema.org/draft/2020-12/schema';
