import { ArgumentsHost, Catch, HttpException } from '@nestjs/common'
import { BaseExceptionFilter } from '@nestjs/core'
import { SessionError } from 'dynamodb-web-session'

/** NestJS answers with 500 to errors that it does not know. These say which status fits: 409 for a user with too many sessions. */
@Catch(SessionError)
export class SessionErrors extends BaseExceptionFilter {
  catch(error: SessionError, host: ArgumentsHost) {
    super.catch(new HttpException(error.name, error.status, { cause: error }), host)
  }
}
