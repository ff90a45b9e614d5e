import 'reflect-metadata';
import { writeFile } from 'node:fs/promises';
import { openApiText } from './openapi-text.js';

// `npm run openapi` runs at the root of the repository, where the file is committed.
await writeFile('openapi.json', await openApiText());
