import { Module } from '@nestjs/common';
import { HttpServer } from './http-server.js';
import { Routes } from './routes.js';

@Module({ providers: [Routes, HttpServer], exports: [Routes] })
export class HttpModule {}
