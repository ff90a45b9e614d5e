/** The workspace that exists from the first migration on. Tenancy by key arrives with authentication. */
export const DEFAULT_WORKSPACE_ID = '00000000-0000-7000-8000-000000000001';
