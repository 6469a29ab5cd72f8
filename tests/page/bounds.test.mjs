/** What may be asked of other servers: by whom, and by which workers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import './page.mjs';
const { boundsOf, isPrivate, nameOf, refusal, within } = await import('../../web/remote/bounds.js');
const { fileAddress } = await import('../../web/remote/address.js');

const PAGE = new URL('https://loupe.example/');
const message = (act) => {
  try {
    act();
  } catch (thrown) {
    return thrown.message;
  }
  return '';
};

describe('private hosts', () => {
  for (const host of [
    'localhost',
    'a.localhost',
    'router.lan',
    'nas',
    'printer.local',
    '127.0.0.1',
    '10.1.2.3',
    '192.168.0.1',
    '172.16.0.1',
    '172.31.9.9',
    '169.254.1.1',
    '100.64.0.1',
    '0.0.0.0',
    '[::1]',
    '[fd00::1]',
    '[fe80::1]',
    '[::ffff:7f00:1]',
  ]) {
    it(`${host} is one`, () => assert.ok(isPrivate(host)));
  }
  for (const host of [
    'huggingface.co',
    '8.8.8.8',
    '172.32.0.1',
    '100.128.0.1',
    '11.0.0.1',
    '[2001:db8::1]',
    'localhost.example.org',
    '10.example.org',
  ]) {
    it(`${host} is none`, () => assert.ok(!isPrivate(host)));
  }
  it('are those of odd spellings too, which the browser normalises', () => {
    for (const spelled of ['http://2130706433/', 'http://0x7f.1/', 'http://127.1/', 'https://LOCALHOST./'])
      assert.ok(isPrivate(new URL(spelled).hostname), spelled);
  });
});

describe('an address', () => {
  it('is asked by https, without a password, and of a private host only if it was typed', () => {
    assert.equal(refusal(new URL('https://a.example/x'), false, PAGE), '');
    assert.match(refusal(new URL('http://a.example/x'), true, PAGE), /https/);
    assert.match(refusal(new URL('https://u:p@a.example/x'), true, PAGE), /password/);
    assert.match(refusal(new URL('https://192.168.0.1/x'), false, PAGE), /192\.168\.0\.1/);
    assert.equal(refusal(new URL('https://192.168.0.1/x'), true, PAGE), '');
    assert.equal(
      refusal(new URL('http://127.0.0.1:8188/x'), false, new URL('http://127.0.0.1/')),
      '',
      'a page on this machine may',
    );
    assert.notEqual(refusal(new URL('ftp://a.example/x'), true, PAGE), '');
  });

  it('that is typed need not be whole', () => {
    assert.deepEqual(fileAddress('host.example/a%20b.safetensors'), {
      address: 'https://host.example/a%20b.safetensors',
      name: 'a b.safetensors',
    });
    assert.equal(fileAddress('nas:8080/a.safetensors').address, 'https://nas:8080/a.safetensors');
    assert.equal(fileAddress('https://x.example/%E0').name, '%E0');
    for (const typed of ['foo', 'foo/bar.safetensors', '', 'https://', 'javascript:alert(1)'])
      assert.notEqual(
        message(() => fileAddress(typed)),
        '',
        typed,
      );
    assert.notEqual(
      message(() => fileAddress('https://host.example/')),
      '',
      'a page',
    );
  });
});

describe('a worker outside the policy', () => {
  const bounds = boundsOf(nameOf({ language: 'de', origin: 'https://a.example', typed: false }));
  const asks = (address, with_ = bounds) => message(() => within(address, with_, PAGE)) === '';

  it('asks the server that it was started for, and no other', () => {
    assert.ok(asks('https://a.example/x'));
    for (const address of [
      'https://b.example/x',
      'http://a.example/x',
      'https://a.example:444/x',
      'https://u@a.example/x',
    ])
      assert.ok(!asks(address), address);
  });

  it('asks a private host only if a person typed it', () => {
    const local = (typed) => ({ language: 'en', origin: 'https://192.168.0.1', typed });
    assert.ok(!asks('https://192.168.0.1/x', local(false)));
    assert.ok(asks('https://192.168.0.1/x', local(true)));
  });

  it('asks nothing without bounds', () => {
    for (const name of ['', 'en', '{}', 'null', '"x"']) assert.ok(!asks('https://a.example/x', boundsOf(name)), name);
  });
});
