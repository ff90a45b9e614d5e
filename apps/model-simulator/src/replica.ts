import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import { Adapters } from './adapters.js';
import { planAnswer, type Answer } from './answer.js';
import { comesBefore, comesInside, isMistake, parseDirectives, type Fault } from './directives.js';
import { Engine, type Sequence } from './engine.js';
import { parseEmbeddingsRequest, planEmbeddings } from './embeddings.js';
import { SimulatorError } from './errors.js';
import { dribble, failBefore, failInside, FaultPlan } from './faults.js';
import { InstantAnswer } from './instant-answer.js';
import { Metrics } from './metrics.js';
import type { SimulatorOptions } from './options.js';
import type { Protocol } from './body.js';
import { PrefixCache } from './prefix-cache.js';
import { streamReply, wholeReply, type Reply, type ReplyContext } from './reply.js';
import { parseMessagesRequest } from './messages-request.js';
import { parseChatRequest, parseTextRequest, type GenerationRequest } from './request.js';

type Parser = (body: Record<string, unknown>, version: string) => GenerationRequest;

const PARSERS: Readonly<Record<Protocol, Parser>> = {
  chat: parseChatRequest,
  text: parseTextRequest,
  messages: parseMessagesRequest,
  embeddings: parseEmbeddingsRequest,
};
const ID_PREFIXES = { chat: 'chatcmpl-', text: 'cmpl-', messages: 'msg_', embeddings: 'embd-' };

/** One GPU replica: models, engine, metrics and the faults it plays. */
export class Replica {
  readonly metrics: Metrics;
  private readonly engine: Engine;
  private readonly faults: FaultPlan;
  private readonly prefixes: PrefixCache;
  private readonly instant: InstantAnswer;
  private readonly adapters: Adapters;
  private readonly startedAt = Math.floor(Date.now() / 1000);
  private finished = 0;
  private aborted = 0;

  constructor(private readonly options: SimulatorOptions) {
    this.engine = new Engine(options.maxNumSeqs, options.serialPrefill);
    this.prefixes = new PrefixCache(options.prefixCacheTokens);
    this.metrics = new Metrics(options.models[0]!, this.engine, options.kvCacheTokens);
    this.faults = new FaultPlan(options.seed);
    this.adapters = new Adapters(options.models[0]!);
    this.instant = new InstantAnswer(options);
  }

  stats(): { running: number; waiting: number; finished: number; aborted: number } {
    const { running, waiting } = this.engine;
    return { running, waiting, finished: this.finished, aborted: this.aborted };
  }

  stop(): void {
    this.engine.stop();
  }

  listModels(): object {
    return {
      object: 'list',
      data: [
        ...this.options.models.map((id) => ({ id, root: id, parent: null as string | null })),
        ...this.adapters.list(),
      ].map((model) => ({
        ...model,
        object: 'model',
        created: this.startedAt,
        owned_by: 'model-simulator',
        max_model_len: this.options.maxModelLen,
      })),
    };
  }

  /** @returns what vLLM says. @throws SimulatorError 400, 404. */
  loadAdapter(body: Record<string, unknown>): string {
    return this.adapters.load(body);
  }

  /** @returns what vLLM says. @throws SimulatorError 400, 404. */
  unloadAdapter(body: Record<string, unknown>): string {
    return this.adapters.unload(body);
  }

  /** The benchmark mode: no parsing, no clock, one fixed body. */
  answerAtOnce(body: Buffer, response: ServerResponse): void {
    this.instant.send(body, response);
  }

  /**
   * Answers one request, by the clock of the engine.
   * @throws SimulatorError before anything was sent.
   */
  generate(
    protocol: Protocol,
    body: Record<string, unknown>,
    incoming: IncomingMessage,
    response: ServerResponse,
  ): void {
    const request = PARSERS[protocol](body, String(incoming.headers['anthropic-version']));
    const [baseModel, suffix] = this.splitModel(request.model);
    const header = String(incoming.headers['x-simulator-fault'] ?? '');
    const directives = parseDirectives(suffix, header);
    const options = { ...this.options, ...directives.overrides };
    const fault = this.faults.draw(directives.fault, `${request.model}\n${header}`);
    const answer = request.embeddings
      ? planEmbeddings(request.embeddings, baseModel, options)
      : planAnswer(request, baseModel, options, fault && isMistake(fault) ? fault.kind : undefined);
    this.checkLength(request, answer);
    const id = `${ID_PREFIXES[protocol]}${String(incoming.headers['x-request-id'] ?? randomUUID().replaceAll('-', ''))}`;
    const run = (inside: Fault | undefined) => this.run({ protocol, request, answer, id, response }, inside);
    if (fault && comesBefore(fault)) failBefore(fault, response, () => run(undefined));
    else run(fault);
  }

  private run(given: Omit<ReplyContext, 'created' | 'write' | 'end'>, fault: Fault | undefined): void {
    const { response, answer, request } = given;
    const slow = fault?.kind === 'dribble' ? dribble(response) : undefined;
    const context: ReplyContext = {
      ...given,
      created: Math.floor(Date.now() / 1000),
      write: slow ? (text) => slow.write(text) : (text) => void response.write(text),
      end: slow ? () => slow.end() : () => void response.end(),
    };
    const plain = request.stream ? streamReply(context) : wholeReply(context);
    const reply =
      fault && comesInside(fault)
        ? failInside(fault, context, plain, () => this.engine.hold(sequence))
        : plain;
    const sequence = this.sequence(request, answer, reply, response);
    this.engine.submit(sequence);
  }

  private sequence(
    { messages }: GenerationRequest,
    answer: Answer,
    reply: Reply,
    response: ServerResponse,
  ): Sequence {
    const cachedTokens = Math.min(this.prefixes.match(messages), answer.promptTokens - 1);
    const savedMs = answer.prefillMs * (cachedTokens / answer.promptTokens);
    const ttftMs = answer.ttftMs - savedMs;
    const submittedAt = performance.now();
    let firstAt: number | undefined;
    let ready = 0;
    const tokenCount = answer.tokens.length;
    const seconds = (at: number) => (at - submittedAt) / 1000;
    const observe = (reason: 'stop' | 'length' | 'abort') => {
      const total = seconds(performance.now());
      const timeToFirstToken = firstAt === undefined ? undefined : seconds(firstAt);
      const queueTime = Math.max(0, (timeToFirstToken ?? total) - ttftMs / 1000);
      this.metrics.observe({
        promptTokens: answer.promptTokens,
        cachedTokens,
        generatedTokens: ready,
        reason,
        timeToFirstToken,
        queueTime,
        total,
      });
    };
    const sequence: Sequence = {
      promptTokens: answer.promptTokens,
      tokenCount,
      ttftMs,
      prefillMs: answer.prefillMs - savedMs,
      intervalMs: answer.intervalMs,
      onTokens: (count) => {
        ready = count;
        if (firstAt === undefined) this.prefixes.add(messages);
        firstAt ??= performance.now();
        reply.send(count);
        if (count < tokenCount) return;
        this.finished++;
        this.prefixes.add([...messages, { role: 'assistant', text: answer.tokens.join('') }]);
        observe(answer.finishReason);
      },
    };
    response.once('close', () => {
      if (!response.writableFinished) this.aborted++;
      if (ready >= tokenCount && firstAt !== undefined) return;
      this.engine.cancel(sequence);
      observe('abort');
    });
    return sequence;
  }

  /** A model it serves, and what stands behind the colon. */
  private splitModel(name: string): [model: string, suffix: string] {
    const models = [...this.options.models, ...this.adapters.list().map(({ id }) => id)];
    if (models.includes(name)) return [name, ''];
    const model = models
      .filter((known) => name.startsWith(`${known}:`))
      .sort((a, b) => b.length - a.length)[0];
    if (model === undefined)
      throw new SimulatorError(404, 'NotFoundError', `The model \`${name}\` does not exist.`, 'model');
    return [model, name.slice(model.length + 1)];
  }

  private checkLength(request: GenerationRequest, answer: Answer): void {
    const { maxModelLen } = this.options;
    const wanted = request.maxTokens ?? 0;
    if (answer.promptTokens + wanted <= maxModelLen) return;
    throw new SimulatorError(
      400,
      'BadRequestError',
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${answer.promptTokens + wanted} tokens (${answer.promptTokens} in the messages, ${wanted} in the completion). Please reduce the length of the messages or completion.`,
      'messages',
    );
  }
}
