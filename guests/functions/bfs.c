/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bfs: takes a graph as text, the vertex to start from in the first line, then one undirected edge "a b" in each line. Gives
 * a line "vertex distance" for each vertex that can be reached, by distance, then in the order in which they were found.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_VERTEX 1000000UL

const char function_sample[] = "0\n0 1\n1 2\n0 3\n3 2\n";

struct edge {
	unsigned from, to;
};

/* Both directions of each edge, sorted by where they begin; first[v] is where those of v do. */
struct graph {
	struct edge *edges;
	unsigned *first;
	size_t n_edges, n_vertices;
};

/* The next number of the text, or -1 at its end or where there is none. */
static long number(const char **at)
{
	char *end;
	unsigned long n = strtoul(*at, &end, 10);

	if (end == *at || n > MAX_VERTEX)
		return -1;
	*at = end;
	return (long)n;
}

/* Counting sort: the edges of a vertex stay in the order of the text. */
static int build(struct graph *g, const struct edge *given, size_t n)
{
	size_t at = 0;

	g->n_edges = 2 * n;
	g->edges = malloc((g->n_edges + 1) * sizeof(*g->edges));
	g->first = calloc(g->n_vertices + 2, sizeof(*g->first));
	if (!g->edges || !g->first)
		return -1;
	for (size_t i = 0; i < n; i++) {
		g->first[given[i].from + 2]++;
		g->first[given[i].to + 2]++;
	}
	for (size_t v = 0; v + 2 < g->n_vertices + 2; v++)
		g->first[v + 2] += g->first[v + 1];
	for (size_t i = 0; i < n; i++) {
		at = g->first[given[i].from + 1]++;
		g->edges[at] = given[i];
		at = g->first[given[i].to + 1]++;
		g->edges[at] = (struct edge){ given[i].to, given[i].from };
	}
	return 0;
}

static long search(const struct graph *g, unsigned start, unsigned char *out, unsigned long room)
{
	unsigned *queue = malloc(g->n_vertices * sizeof(*queue));
	int *distance = malloc(g->n_vertices * sizeof(*distance));
	size_t head = 0, tail = 0;
	long len = -1;

	if (queue && distance) {
		memset(distance, -1, g->n_vertices * sizeof(*distance));
		distance[start] = 0;
		queue[tail++] = start;
		for (len = 0; head < tail; head++) {
			unsigned v = queue[head];
			size_t left = (unsigned long)len < room ? room - (unsigned long)len : 0;

			len += snprintf((char *)out + len, left, "%u %d\n", v, distance[v]);
			for (unsigned e = g->first[v]; e < g->first[v + 1]; e++) {
				unsigned to = g->edges[e].to;

				if (distance[to] >= 0)
					continue;
				distance[to] = distance[v] + 1;
				queue[tail++] = to;
			}
		}
	}
	free(queue);
	free(distance);
	return len;
}

static long read_and_search(const char *text, struct edge *given, unsigned char *out,
                            unsigned long room)
{
	struct graph g = { 0 };
	long start = number(&text), from, to, len;
	size_t n = 0;

	if (start < 0)
		return function_fail(out, room, "the first line is no vertex");
	g.n_vertices = (size_t)start + 1;
	while ((from = number(&text)) >= 0) {
		to = number(&text);
		if (to < 0)
			return function_fail(out, room, "edge %zu has one vertex", n + 1);
		given[n++] = (struct edge){ (unsigned)from, (unsigned)to };
		if ((size_t)from >= g.n_vertices)
			g.n_vertices = (size_t)from + 1;
		if ((size_t)to >= g.n_vertices)
			g.n_vertices = (size_t)to + 1;
	}
	len = build(&g, given, n) == 0 ? search(&g, (unsigned)start, out, room) : -1;
	free(g.edges);
	free(g.first);
	return len >= 0 ? len
	                : function_fail(out, room, "no memory for %zu vertices", g.n_vertices);
}

long handle(const unsigned char *in, unsigned long len, unsigned char *out, unsigned long room)
{
	struct edge *given =
		malloc((len / 4 + 1) * sizeof(*given)); /* an edge has at least four characters */
	long result;

	if (!given)
		return function_fail(out, room, "no memory");
	result = read_and_search((const char *)in, given, out, room);
	free(given);
	return result;
}
