// NestJS on Fastify: `npm run build && npm run start:fastify`.

import 'reflect-metadata'
import fastifyCookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { Body, Controller, Get, Module, Post, Redirect, Req } from '@nestjs/common'
import { HttpAdapterHost, NestFactory } from '@nestjs/core'
import { FastifyAdapter, NestFastifyApplication } from '@nestjs/platform-fastify'
import { expressStore, logIn } from 'dynamodb-web-session'
import { SessionErrors } from './session-errors.js'

type Shop = { session: { user?: string; visits?: number; destroy(): Promise<void> } }

@Controller()
class Pages {
  @Get()
  page(@Req() { session: { user, visits = 0 } }: Shop) {
    return `user: ${user ?? 'nobody'}, visits: ${visits}`
  }

  @Post('visit')
  @Redirect('/', 303)
  visit(@Req() { session }: Shop) {
    session.visits = (session.visits ?? 0) + 1
  }

  // After the password was verified: a new ID, and a session of the user, all or nothing.
  @Post('login')
  @Redirect('/', 303)
  async login(@Req() request: Shop, @Body('user') user: string) {
    await logIn(request, user, { user })
  }

  @Post('logout')
  @Redirect('/', 303)
  async logout(@Req() { session }: Shop) {
    await session.destroy()
  }
}

@Module({ controllers: [Pages] })
class Application {}

const app = await NestFactory.create<NestFastifyApplication>(Application, new FastifyAdapter(), { logger: ['error', 'warn'] })
await app.register(fastifyCookie)
const store = expressStore(fastifySession, { subject: (data) => data.user })
await app.register(store.fastify, {
  secret: process.env.SECRETS?.split(',') ?? 'only for this example, and 32 characters',
  cookieName: 'id',
  cookie: { sameSite: 'lax', secure: false }, // secure: true where it is served over HTTPS
})
app.useGlobalFilters(new SessionErrors(app.get(HttpAdapterHost).httpAdapter))
await app.listen(process.env.PORT ?? 3000, '127.0.0.1')
