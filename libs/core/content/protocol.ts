/** What a model endpoint speaks. */
export const PROTOCOLS = ['openai', 'azure-openai', 'anthropic'] as const;

export type Protocol = (typeof PROTOCOLS)[number];

/** Those in which a model can be asked for embeddings. */
export const EMBEDDING_PROTOCOLS: readonly Protocol[] = ['openai', 'azure-openai'];
