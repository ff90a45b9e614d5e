/** What a model endpoint speaks. */
export const PROTOCOLS = ['openai', 'azure-openai', 'anthropic'] as const;

export type Protocol = (typeof PROTOCOLS)[number];
