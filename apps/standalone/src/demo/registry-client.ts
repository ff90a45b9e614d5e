/** An answer of the registry other than 2xx. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** The public REST API of the registry, as any program outside would call it. */
export class RegistryClient {
  private readonly authorization: Readonly<Record<string, string>>;

  constructor(
    private readonly baseUrl: string,
    key: string | undefined,
  ) {
    this.authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  }

  /** @throws RegistryError */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.baseUrl}/api/v1${path}`, {
      method,
      headers: { 'content-type': 'application/json', 'x-catena-actor': 'demo', ...this.authorization },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as { code?: string; message?: string };
    if (response.ok) return answer as T;
    throw new RegistryError(
      response.status,
      answer.code ?? '',
      `${method} ${path}: ${answer.message ?? response.status}`,
    );
  }

  /** Creates what may be there from an earlier demo. @returns whether it is new. */
  async ensure(path: string, body: unknown): Promise<boolean> {
    try {
      await this.call('POST', path, body);
      return true;
    } catch (error) {
      if (error instanceof RegistryError && error.code === 'ALREADY_EXISTS') return false;
      throw error;
    }
  }
}
