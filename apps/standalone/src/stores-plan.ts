/** Which stores to embed; what is left out is somebody else's. */
export interface StoresPlan {
  readonly postgres?: { readonly directory: string };
  readonly s3?: { readonly directory: string; readonly bucket: string };
}

/** What the stores process tells the launcher. */
export type StoresReport =
  | {
      readonly type: 'ready';
      readonly databaseUrl?: string | undefined;
      readonly s3Port?: number | undefined;
    }
  | { readonly type: 'failed'; readonly message: string };
