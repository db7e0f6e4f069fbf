'use strict'
// The example as a process: over HTTP by eight callers at once, and in headless Chromium.
const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const { after, before, test } = require('node:test')
const { By, Builder } = require('selenium-webdriver')
const chrome = require('selenium-webdriver/chrome')
const { startTable } = require('./table.js')

let server, url
before(async () => {
  const table = await startTable()
  const env = { ...table.environment, PORT: '0' }
  server = spawn(process.execPath, [`${__dirname}/../examples/login.js`], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = await once(server.stdout, 'data')
  url = String(line).split(' ')[0]
})
after(() => server.kill())

async function post(cookie, path, body) {
  const headers = { 'content-type': 'application/x-www-form-urlencoded', ...(cookie && { cookie }) }
  const response = await fetch(url.slice(0, -1) + path, { method: 'POST', headers, body, redirect: 'manual' })
  assert.equal(response.status, 302)
  return response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
}

const page = async (cookie) => (await fetch(url, { headers: { cookie } })).text()

test('eight callers at once', async () => {
  await Promise.all(
    Array.from({ length: 8 }, async (_, n) => {
      const planted = await post(undefined, '/visit')
      const cookie = await post(planted, '/login', `user=user${n}`)
      assert.notEqual(cookie, planted)
      for (let visits = 2; visits <= 20; visits++) {
        await post(cookie, '/visit')
        assert.match(await page(cookie), new RegExp(`user: user${n}, visits: ${visits}<`))
      }
      assert.match(await page(planted), /user: undefined, visits: 0/)
    }),
  )
})

test('a login, two tabs and log out everywhere in a browser', { skip: !process.env.CI && !process.env.CHROME && 'CHROME=1 runs it' }, async () => {
  const open = () => {
    const options = new chrome.Options()
    options.addArguments('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu')
    return new Builder().forBrowser('chrome').setChromeOptions(options).build()
  }
  const [laptop, phone] = await Promise.all([open(), open()])
  try {
    const shown = (browser) => browser.findElement(By.css('p')).getText()
    const press = async (browser, button) => {
      await browser.executeScript("document.documentElement.id = 'before'")
      await browser.findElement(By.xpath(`//button[text()='${button}']`)).click()
      const isNew = "return document.readyState === 'complete' && document.documentElement.id !== 'before'"
      await browser.wait(() => browser.executeScript(isNew), 20_000)
    }
    for (const browser of [laptop, phone]) {
      await browser.get(url)
      await press(browser, 'Count')
      const planted = await browser.manage().getCookie('id')
      assert.ok(planted.httpOnly)
      await browser.findElement(By.name('user')).sendKeys('dora')
      await press(browser, 'Log in')
      assert.equal(await shown(browser), 'user: dora, visits: 1')
      assert.notEqual((await browser.manage().getCookie('id')).value, planted.value)
    }
    const first = await laptop.getWindowHandle()
    await laptop.switchTo().newWindow('tab')
    await laptop.get(url)
    await press(laptop, 'Count')
    await laptop.switchTo().window(first)
    await press(laptop, 'Count')
    assert.equal(await shown(laptop), 'user: dora, visits: 3')

    await laptop.get(`${url}devices`)
    const items = async () => Promise.all((await laptop.findElements(By.css('li'))).map((item) => item.getText()))
    const both = await items()
    assert.equal(both.length, 2)
    assert.ok(both.every((item) => item.includes('on Linux, 127.0.0.1, last used')), both.join())
    await press(laptop, 'Log out there')
    assert.deepEqual((await items()).map((item) => item.includes('(this device)')), [true])
    await phone.navigate().refresh()
    assert.equal(await shown(phone), 'user: undefined, visits: 0')
    await phone.findElement(By.name('user')).sendKeys('dora')
    await press(phone, 'Log in')
    await laptop.get(url)

    await press(phone, 'Log out everywhere')
    assert.equal(await shown(phone), 'user: undefined, visits: 0')
    for (const tab of await laptop.getAllWindowHandles()) {
      await laptop.switchTo().window(tab)
      await laptop.navigate().refresh()
      assert.equal(await shown(laptop), 'user: undefined, visits: 0')
    }
  } finally {
    await Promise.all([laptop.quit(), phone.quit()])
  }
})
