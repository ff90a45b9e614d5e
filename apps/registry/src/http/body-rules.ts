import { applyDecorators } from '@nestjs/common';
import { IsInt, Matches, Max, Min, ValidateIf } from 'class-validator';
import { NAME_PATTERN } from '#libs/core/content/schemas.js';

/** Optional, but not null: absent means unchanged or default, and `null` would clear what cannot be empty. */
export const IfSent = (): PropertyDecorator => ValidateIf((_, value) => value !== undefined);

export const IsName = (): PropertyDecorator =>
  Matches(new RegExp(NAME_PATTERN), {
    message:
      'must have 1 to 128 characters: letters, digits, ".", "_" or "-", and begin and end with a letter or digit',
  });

/** `expectedRevision` of a compare-and-set. */
export const IsExpectedRevision = (): PropertyDecorator =>
  applyDecorators(IfSent(), IsInt(), Min(0), Max(2_147_483_647));
