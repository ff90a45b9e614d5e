import { applyDecorators } from '@nestjs/common';
import { IsString, Matches } from 'class-validator';

/** How documents describe a field that names an experiment. */
export const EXPERIMENT_REF = {
  description: 'Number of its experiment, or the id.',
  type: String,
  example: '0',
} as const;

/** An experiment by its number or id, as `parseExperimentRef` reads it. */
export const IsExperimentRef = (): PropertyDecorator =>
  applyDecorators(
    IsString(),
    Matches(/^([0-9]{1,10}|[0-9a-fA-F-]{36})$/, {
      message: 'must be the UUID of an experiment or its number',
    }),
  );
