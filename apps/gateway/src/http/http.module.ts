import { Module } from '@nestjs/common';
import { Drain } from './drain.js';
import { HttpServer } from './http-server.js';
import { Routes } from './routes.js';

@Module({ providers: [Drain, Routes, HttpServer], exports: [Drain, Routes] })
export class HttpModule {}
