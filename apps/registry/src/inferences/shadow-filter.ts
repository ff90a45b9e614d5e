import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';

const SHADOW_FILTERS = ['exclude', 'include', 'only'] as const;

/** Whether rows of shadows are taken, which answered nobody. */
export type ShadowFilter = (typeof SHADOW_FILTERS)[number];

/** The parameter `shadows` of a list. */
export const Shadows =
  (description: string, byDefault: ShadowFilter): PropertyDecorator =>
  (target, property) => {
    ApiPropertyOptional({ description, enum: SHADOW_FILTERS, default: byDefault })(target, property);
    IsOptional()(target, property);
    IsIn(SHADOW_FILTERS)(target, property);
  };
