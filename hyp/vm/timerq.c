/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986): a tree in which no
 * child is due before its parent.  Two trees are joined by making the later root
 * the first child of the other; taking the root out joins its children in pairs,
 * then the pairs from right to left.
 */
#include "vm/timerq.h"
#include "lib/assert.h"

/* Both are roots without siblings, or NULL. */
static struct timer_node *join(struct timer_node *a, struct timer_node *b)
{
	if (a == NULL)
		return b;
	if (b == NULL)
		return a;
	if (b->deadline < a->deadline) {
		struct timer_node *t = a;

		a = b;
		b = t;
	}
	b->sibling = a->child;
	if (b->sibling != NULL)
		b->sibling->link = &b->sibling;
	b->link = &a->child;
	a->child = b;
	return a;
}

/* Joins a list of siblings into one tree. */
static struct timer_node *join_all(struct timer_node *list)
{
	struct timer_node *pairs = NULL, *tree = NULL;

	while (list != NULL) {
		struct timer_node *a = list, *b = a->sibling;

		list = b != NULL ? b->sibling : NULL;
		a->sibling = NULL;
		if (b != NULL)
			b->sibling = NULL;
		a = join(a, b);
		a->sibling = pairs;
		pairs = a;
	}
	while (pairs != NULL) {
		struct timer_node *next = pairs->sibling;

		pairs->sibling = NULL;
		tree = join(tree, pairs);
		pairs = next;
	}
	return tree;
}

static void set_first(struct timerq *q, struct timer_node *n)
{
	q->first = n;
	if (n != NULL)
		n->link = &q->first;
}

void timerq_insert(struct timerq *q, struct timer_node *n)
{
	assert(n->link == NULL);
	n->child = NULL;
	n->sibling = NULL;
	set_first(q, join(q->first, n));
}

void timerq_remove(struct timerq *q, struct timer_node *n)
{
	struct timer_node *below;

	if (n->link == NULL)
		return;
	*n->link = n->sibling;
	if (n->sibling != NULL)
		n->sibling->link = n->link;
	n->link = NULL;
	n->sibling = NULL;
	below = join_all(n->child);
	n->child = NULL;
	/* If `n` was the first, the queue is empty now and `below` is all that was in it. */
	set_first(q, join(q->first, below));
}
