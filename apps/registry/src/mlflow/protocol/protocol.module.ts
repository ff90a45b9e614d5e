import { Module } from '@nestjs/common';
import { MlflowCallers } from './mlflow-caller.js';
import { MlflowProtocol } from './mlflow-protocol.js';
import { MlflowRoutes } from './mlflow-routes.js';

/** The protocol itself. Modules with routes import it and register with `MlflowRoutes` in their `onModuleInit`. */
@Module({
  providers: [MlflowRoutes, MlflowCallers, MlflowProtocol],
  exports: [MlflowRoutes, MlflowProtocol],
})
export class MlflowProtocolModule {}
