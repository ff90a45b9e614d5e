import type { DirectoryEntry } from '../../artifacts/directory-rows.js';

/** `FileInfo` messages, ordered as MLflow orders them. @param directory put in front of the names; '' for none. */
export function fileMessages(entries: readonly DirectoryEntry[], directory = ''): object[] {
  return entries
    .map((entry) => ({
      path: directory === '' ? entry.name : `${directory}/${entry.name}`,
      is_dir: entry.isDirectory,
      file_size: entry.sizeBytes ?? undefined,
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}
