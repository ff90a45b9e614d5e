import { describe, expect, it } from 'vitest';
import { RouteTree } from './route-tree.js';

const tree = new RouteTree<string>();
tree.add('POST', '/models/search', 'search');
tree.add('GET', '/models/{id}', 'get');
tree.add('DELETE', '/models/{id}/tags/{key}', 'untag');
tree.add('GET', '/files/{path+}', 'file');
tree.add('GET', '/files/{path}/info', 'info');

describe('routes', () => {
  it('are found by literals, names and rests', () => {
    expect(tree.find('POST', '/models/search')).toEqual({ target: 'search', params: {} });
    expect(tree.find('GET', '/models/a%2Fb')).toEqual({ target: 'get', params: { id: 'a%2Fb' } });
    expect(tree.find('DELETE', '/models/1/tags/x')).toEqual({
      target: 'untag',
      params: { id: '1', key: 'x' },
    });
    expect(tree.find('GET', '/files/a/b/c')).toEqual({ target: 'file', params: { path: 'a/b/c' } });
    expect(tree.find('GET', '/files/a/info')).toEqual({ target: 'info', params: { path: 'a' } });
    expect(tree.find('HEAD', '/models/1')).toMatchObject({ target: 'get' });
  });

  it('name the methods of a path, and none where there is no such path', () => {
    expect(tree.find('PUT', '/models/search')).toEqual(['POST']);
    for (const path of ['/models', '/models/', '/models/1/tags', '/elsewhere', '/', ''])
      expect(tree.find('GET', path)).toEqual([]);
  });

  it('are refused twice', () => {
    expect(() => tree.add('GET', '/models/{name}', 'other')).toThrow(/routed twice/);
  });
});
