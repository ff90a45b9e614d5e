import { SimulatorError } from './errors.js';

export interface Adapter {
  readonly id: string;
  /** Where it was loaded from. */
  readonly root: string;
  readonly parent: string;
}

/** LoRA adapters as vLLM serves them when it may load them at run time; here they answer as the first model does. */
export class Adapters {
  private readonly loaded = new Map<string, Adapter>();

  /** @param parent the model they adapt. */
  constructor(private readonly parent: string) {}

  list(): Adapter[] {
    return [...this.loaded.values()];
  }

  load(body: Record<string, unknown>): string {
    const { lora_name: id, lora_path: root } = body;
    if (typeof id !== 'string' || id === '' || typeof root !== 'string' || root === '')
      throw new SimulatorError(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
    if (this.loaded.has(id))
      throw new SimulatorError(
        400,
        'InvalidUserInput',
        `The lora adapter '${id}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.`,
      );
    if (root.startsWith('/missing'))
      throw new SimulatorError(
        404,
        'NotFoundError',
        `Loading lora ${id} failed: No adapter found for ${root}`,
      );
    this.loaded.set(id, { id, root, parent: this.parent });
    return `Success: LoRA adapter '${id}' added successfully.`;
  }

  unload(body: Record<string, unknown>): string {
    const id = body['lora_name'];
    if (typeof id !== 'string' || !this.loaded.delete(id))
      throw new SimulatorError(404, 'NotFoundError', `The lora adapter '${String(id)}' cannot be found.`);
    return `Success: LoRA adapter '${id}' removed successfully.`;
  }
}
