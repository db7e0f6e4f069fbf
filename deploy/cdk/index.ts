// Web sessions in DynamoDB as constructs of the AWS CDK: the table alone, for the packages, or the whole service.

import * as path from 'node:path'
import { CfnOutput, CfnParameter, RemovalPolicy } from 'aws-cdk-lib'
import * as dynamodb from 'aws-cdk-lib/aws-dynamodb'
import * as iam from 'aws-cdk-lib/aws-iam'
import * as kms from 'aws-cdk-lib/aws-kms'
import { Asset } from 'aws-cdk-lib/aws-s3-assets'
import { CfnFunction } from 'aws-cdk-lib/aws-sam'
import { CfnInclude } from 'aws-cdk-lib/cloudformation-include'
import { Construct } from 'constructs'

export interface SessionTableProps {
  /** Default: CloudFormation chooses a name. */
  readonly tableName?: string
  /** A customer managed key that encrypts the table. Default: a key that DynamoDB owns, at no charge. */
  readonly encryptionKey?: kms.IKey
}

/**
 * The table of the sessions, as the project's SAM template has it: on-demand capacity, TTL, point-in-time recovery, deletion protection.
 * It stays when the stack is deleted.
 */
export class SessionTable extends Construct {
  readonly table: dynamodb.Table

  constructor(scope: Construct, id: string, props: SessionTableProps = {}) {
    super(scope, id)
    this.table = new dynamodb.Table(this, 'Table', {
      tableName: props.tableName,
      partitionKey: { name: 'id', type: dynamodb.AttributeType.STRING },
      billingMode: dynamodb.BillingMode.PAY_PER_REQUEST,
      timeToLiveAttribute: 'expires',
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      deletionProtection: true,
      encryptionKey: props.encryptionKey,
      removalPolicy: RemovalPolicy.RETAIN,
    })
  }

  /** Lets an application use the sessions: what the packages for Python, Node.js and Rust need, and nothing else. */
  grantSessions(grantee: iam.IGrantable): iam.Grant {
    return this.table.grant(grantee, 'dynamodb:GetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem')
  }
}

export interface SessionServiceProps {
  /** The folder of an unpacked release, or the `dist` that `tools/dist` makes: the functions' zips and their template. */
  readonly release: string
  /** The template's parameters that are not to have their defaults, such as `{ IdTransport: 'cookie', AuthorizationType: 'NONE' }`. */
  readonly parameters?: { readonly [name: string]: string }
}

/** The whole service: the template of a release, with its functions as assets of the CDK. */
export class SessionService extends Construct {
  readonly template: CfnInclude
  /** The outputs of the template: `SessionUrl`, `TableName`, `AuthorizerArn` and so on. */
  readonly outputs: { readonly [name: string]: CfnOutput }

  constructor(scope: Construct, id: string, props: SessionServiceProps) {
    super(scope, id)
    this.template = new CfnInclude(this, 'Template', {
      templateFile: path.join(props.release, 'template.yaml'),
      preserveLogicalIds: false,
    })
    for (const [name, value] of Object.entries(props.parameters ?? {})) {
      this.parameter(name).default = value
    }
    const assets = new Map<string, Asset>()
    for (const child of this.template.node.findAll()) {
      if (!(child instanceof CfnFunction)) continue
      const zip = String(child.codeUri)
      const asset = assets.get(zip) ?? new Asset(this, zip, { path: path.join(props.release, zip) })
      assets.set(zip, asset)
      child.codeUri = { bucket: asset.s3BucketName, key: asset.s3ObjectKey }
    }
    this.outputs = Object.fromEntries(
      this.template.node.findAll().flatMap((child) => (child instanceof CfnOutput ? [[child.node.id, child]] : [])),
    )
  }

  private parameter(name: string): CfnParameter {
    return this.template.getParameter(name)
  }
}
