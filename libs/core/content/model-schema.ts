import { DIALECT } from './dialect.js';

/** What a version of a model holds: see `CONTENT_SCHEMAS`. */
export const modelSchema = {
  $schema: DIALECT,
  title: 'Model content',
  description:
    'A model as it was trained or chosen: base weights, an adapter on top of them, or what an MLflow client registered.',
  type: 'object',
  discriminator: { propertyName: 'format' },
  required: ['format'],
  oneOf: [
    {
      type: 'object',
      title: 'Served model',
      properties: {
        format: {
          enum: ['hosted', 'weights', 'lora'],
          description: 'Served by a vendor, own weights, or a LoRA adapter.',
        },
        model: {
          type: 'string',
          minLength: 1,
          maxLength: 256,
          description: 'Name under which a model endpoint serves it.',
        },
        baseModel: {
          type: 'string',
          minLength: 1,
          maxLength: 256,
          description: 'For an adapter: what it adapts.',
        },
        source: {
          type: 'string',
          maxLength: 2048,
          description: 'Where it comes from: a hub id, a URI, a commit.',
        },
        task: { type: 'string', maxLength: 128, description: 'What it is made for.' },
        metadata: { type: 'object', description: 'Anything else worth keeping with the version.' },
      },
      required: ['format', 'model'],
      additionalProperties: false,
    },
    {
      type: 'object',
      title: 'MLflow model',
      description:
        'A model that a run logged. Its files are the artifacts of the version, where they lie here.',
      properties: {
        format: { const: 'mlflow' },
        source: { type: 'string', minLength: 1, maxLength: 2048, description: 'URI it was registered from.' },
        runId: { type: 'string', minLength: 1, maxLength: 256, description: 'The run that made it.' },
        runLink: { type: 'string', minLength: 1, maxLength: 2048, description: 'Where that run is shown.' },
        modelId: { type: 'string', minLength: 1, maxLength: 256, description: 'The logged model it was.' },
      },
      required: ['format', 'source'],
      additionalProperties: false,
    },
  ],
} as const;
