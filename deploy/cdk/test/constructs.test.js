'use strict'
// What the constructs make is what the SAM template makes: table, roles and functions.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { App, Stack, aws_iam: iam } = require('aws-cdk-lib')
const { Template } = require('aws-cdk-lib/assertions')
const yaml = require('yaml')
const { SessionService, SessionTable } = require('../index.js')

const ROOT = path.join(__dirname, '../../..')
const FUNCTIONS = ['create', 'load', 'save', 'renew', 'clear', 'list', 'revoke', 'authorize']

/** CloudFormation's short forms, such as `!Ref`, as it reads them itself. */
function read(file) {
  const names = ['Ref', 'Condition', 'GetAtt', 'If', 'Equals', 'Not', 'And', 'Or', 'Join', 'Sub', 'Select', 'Split']
  const long = (name) => (['Ref', 'Condition'].includes(name) ? name : `Fn::${name}`)
  const customTags = names.flatMap((name) => [
    { tag: `!${name}`, resolve: (text) => ({ [long(name)]: name === 'GetAtt' ? text.split('.') : text }) },
    { tag: `!${name}`, collection: 'seq', resolve: (seq) => ({ [long(name)]: seq.toJSON() }) },
  ])
  return yaml.parse(fs.readFileSync(file, 'utf8'), { customTags, maxAliasCount: -1 })
}

const source = read(path.join(ROOT, 'template.yaml'))

/** As an unpacked release: dist/, or the same with empty zips. */
function release() {
  const dist = path.join(ROOT, 'dist')
  if (process.env.SESSION_DIST) return dist
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'release-'))
  const text = fs.readFileSync(path.join(ROOT, 'template.yaml'), 'utf8')
  const packaged = text.replace(/^ {4}Metadata:\n {6}BuildMethod: rust-cargolambda\n/gm, '').replace(/CodeUri: functions\/(\w+)/g, 'CodeUri: $1.zip')
  fs.writeFileSync(path.join(folder, 'template.yaml'), packaged)
  for (const name of FUNCTIONS) fs.writeFileSync(path.join(folder, `${name}.zip`), Buffer.from('UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==', 'base64'))
  return folder
}

const stack = () => new Stack(new App(), 'Stack', { env: { account: '123456789012', region: 'eu-central-1' } })

test('the table is that of the template', () => {
  const made = stack()
  new SessionTable(made, 'Sessions', { tableName: 'app_session' })
  const [{ Properties, DeletionPolicy, UpdateReplacePolicy }] = Object.values(Template.fromStack(made).toJSON().Resources)
  const { TableName, SSESpecification, ...expected } = source.Resources.SessionTable.Properties
  assert.deepEqual(Properties, { ...expected, TableName: 'app_session' })
  assert.deepEqual([DeletionPolicy, UpdateReplacePolicy], ['Retain', 'Retain'])
})

test('an application may do what the packages need', () => {
  const made = stack()
  const role = new iam.Role(made, 'Role', { assumedBy: new iam.ServicePrincipal('lambda.amazonaws.com') })
  new SessionTable(made, 'Sessions').grantSessions(role)
  const [{ Properties }] = Object.values(Template.fromStack(made).findResources('AWS::IAM::Policy'))
  const used = new Set(Object.entries(source.Resources).filter(([name]) => name.endsWith('Role')).flatMap(([, role]) =>
    role.Properties.Policies[0].PolicyDocument.Statement.flatMap(({ Action }) => [Action].flat().flatMap((action) => (typeof action === 'string' ? [action] : action['Fn::If'].slice(1).flat()))),
  ).filter((action) => action.startsWith('dynamodb:')))
  assert.deepEqual(new Set(Properties.PolicyDocument.Statement[0].Action), used)
})

test('the service has the resources of the template, and the functions are assets', () => {
  const made = stack()
  const service = new SessionService(made, 'Sessions', { release: release(), parameters: { IdTransport: 'cookie', AuthorizationType: 'NONE' } })
  const synthesised = Template.fromStack(made).toJSON()
  assert.equal(synthesised.Transform, 'AWS::Serverless-2016-10-31')
  const kinds = (template) => Object.values(template.Resources).map(({ Type }) => Type).sort()
  assert.deepEqual(kinds(synthesised), kinds(source))
  const idOf = (name) => made.resolve(service.template.getResource(name).logicalId)
  for (const [name, resource] of Object.entries(source.Resources)) {
    const { Type, Properties, DeletionPolicy, Condition } = synthesised.Resources[idOf(name)]
    assert.equal(Type, resource.Type, name)
    assert.equal(DeletionPolicy, resource.DeletionPolicy, name)
    assert.equal(Condition !== undefined, resource.Condition !== undefined, name)
    assert.deepEqual(Object.keys(Properties).sort(), Object.keys(resource.Properties).sort(), name)
    if (resource.Type === 'AWS::Serverless::Function') assert.ok(Properties.CodeUri.Bucket && Properties.CodeUri.Key, name)
    if (resource.Type !== 'AWS::IAM::Role') continue
    const actions = (properties) => JSON.stringify(properties.Policies).match(/"[a-z]+:[A-Z]\w+"/g)
    assert.deepEqual(actions(Properties), actions(resource.Properties), name)
  }
  const parameter = (name) => made.resolve(service.template.getParameter(name).logicalId)
  assert.equal(synthesised.Parameters[parameter('IdTransport')].Default, 'cookie')
  assert.deepEqual(Object.keys(service.outputs).sort(), Object.keys(source.Outputs).sort())
})
