import { DIALECT } from './dialect.js';

/** What a version of a prompt holds: see `CONTENT_SCHEMAS`. */
export const promptSchema = {
  $schema: DIALECT,
  title: 'Prompt content',
  description:
    'A text, or a list of chat messages, with {{variable}} placeholders and at most one {{messages}} slot; or a template of MLflow that chains cannot render.',
  type: 'object',
  discriminator: { propertyName: 'type' },
  required: ['type'],
  oneOf: [
    {
      type: 'object',
      title: 'Text prompt',
      description: 'Rendered into one user message.',
      properties: {
        type: { const: 'text' },
        text: { type: 'string', minLength: 1, maxLength: 1_000_000, description: 'The template.' },
      },
      required: ['type', 'text'],
      additionalProperties: false,
    },
    {
      type: 'object',
      title: 'Chat prompt',
      properties: {
        type: { const: 'chat' },
        messages: {
          type: 'array',
          minItems: 1,
          maxItems: 1000,
          description: 'Messages in order. The string "{{messages}}" stands for the conversation so far.',
          items: {
            anyOf: [
              { const: '{{messages}}' },
              {
                type: 'object',
                properties: {
                  role: { enum: ['system', 'developer', 'user', 'assistant'], description: 'Who speaks.' },
                  content: {
                    type: 'string',
                    maxLength: 1_000_000,
                    description: 'The template of the message.',
                  },
                },
                required: ['role', 'content'],
                additionalProperties: false,
              },
            ],
          },
        },
      },
      required: ['type', 'messages'],
      additionalProperties: false,
    },
    {
      type: 'object',
      title: 'MLflow prompt',
      description:
        "A template of MLflow's that is more than this grammar (Jinja, dotted names, other roles, content parts…): kept and shown as it was registered, refused by chains.",
      properties: {
        type: { const: 'mlflow' },
        form: {
          enum: ['text', 'chat'],
          description: 'What the text is: a template, or a list of messages in JSON.',
        },
        text: {
          type: 'string',
          maxLength: 1_000_000,
          description: 'As MLflow keeps it in mlflow.prompt.text.',
        },
      },
      required: ['type', 'form', 'text'],
      additionalProperties: false,
    },
  ],
} as const;
