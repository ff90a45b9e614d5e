import { QueryFailedError } from 'typeorm';

/** Whether PostgreSQL refused a row because of this unique constraint (SQLSTATE 23505). */
export function isUniqueViolation(error: unknown, constraint: string): boolean {
  if (!(error instanceof QueryFailedError)) return false;
  const { code, constraint: named } = error.driverError as { code?: string; constraint?: string };
  return code === '23505' && named === constraint;
}
