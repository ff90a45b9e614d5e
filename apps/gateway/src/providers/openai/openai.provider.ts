import type { Provider } from '../provider.js';
import { readError } from './openai-error.js';

/** OpenAI and what is compatible: vLLM, SGLang, TGI, llama.cpp, Ollama. Answers pass as the bytes they are. */
export const OPENAI: Provider = {
  path: (base) => `${base}/chat/completions`,
  embeddingsPath: (base) => `${base}/embeddings`,
  headers: (credential) => (credential === undefined ? [] : ['authorization', `Bearer ${credential}`]),
  writeRequest: (request) => JSON.stringify(request),
  listsModels: true,
  readError,
};
