// NestJS on Express: `npm run build && npm start`.

import 'reflect-metadata'
import { Body, Controller, Get, Module, Post, Redirect, Req } from '@nestjs/common'
import { HttpAdapterHost, NestFactory } from '@nestjs/core'
import session from 'express-session'
import { expressStore, logIn } from 'dynamodb-web-session'
import { SessionErrors } from './session-errors.js'

declare module 'express-session' {
  interface SessionData {
    user?: string
    visits?: number
  }
}

type Shop = { session: session.Session & session.SessionData }

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

  // After the password was verified: a new ID, and a session of the user.
  @Post('login')
  @Redirect('/', 303)
  async login(@Req() request: Shop, @Body('user') user: string) {
    await logIn(request, user, { user })
  }

  @Post('logout')
  @Redirect('/', 303)
  async logout(@Req() { session }: Shop) {
    await new Promise<void>((resolve, reject) => session.destroy((error) => (error ? reject(error) : resolve())))
  }
}

@Module({ controllers: [Pages] })
class Application {}

const app = await NestFactory.create(Application, { logger: ['error', 'warn'] })
app.use(
  session({
    store: expressStore(session, { subject: (data) => data.user }),
    secret: process.env.SECRETS?.split(',') ?? 'only for this example',
    name: 'id',
    resave: false,
    saveUninitialized: false,
    cookie: { sameSite: 'lax' }, // and secure: true where it is served over HTTPS
  }),
)
app.useGlobalFilters(new SessionErrors(app.get(HttpAdapterHost).httpAdapter))
await app.listen(process.env.PORT ?? 3000, '127.0.0.1')
