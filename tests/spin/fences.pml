/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol of hyp/mm/tlb.h, small enough for spin to look at every interleaving: windows, fence generations, a change of
 * root, epochs, and VMIDs that roll over. tests/spin/run says how, and that each step is needed.
 *
 * Two harts. Space A is changed while they run: a leaf gets another page, the root another table, the space another root;
 * what was replaced is freed as soon as the protocol allows. Space B is where a hart may be instead, under the one VMID
 * that there is. A page, a table or a root is used once: that it must not be used again after it was freed is all that
 * matters of reuse.
 *
 * Each hart has the laziest TLB: by VMID, the table that the root named and the page that the leaf named when they were
 * last read. Hardware fills it when hgatp names a root: in a window, outside of it, and between the steps of a change of VMID.
 *
 * Each WITHOUT_... leaves out one step.
 */
#define N_HARTS   2
#ifndef N_CHANGES
#define N_CHANGES 1 /* of A: a new page, table or root each */
#endif
#define N_THINGS  4
#define B_THING   3
#define NONE      7
#ifndef N_VISITS
#define N_VISITS  3  /* of each hart to spaces, in any order */
#endif
#define IDLE      15

#define A 0
#define B 1

#define LEAF  1
#define TABLE 2
#define ROOT  3
#ifndef CHANGE
#define CHANGE LEAF
#endif

/* The VMIDs that there are; 0 to 0: a machine without. */
#ifndef VMID_FIRST
#define VMID_FIRST 1
#define VMID_LAST  1
#endif

/* Memory. */
byte root_names[N_THINGS];  /* root -> table */
byte table_names[N_THINGS]; /* table -> page */
bit root_freed[N_THINGS], table_freed[N_THINGS], page_freed[N_THINGS];
bit is_written;             /* the page that A has now was written after its last change */

/* Spaces. */
bit locked;                 /* the lock of A */
byte root[2];
byte fence_gen[2];
byte tag_gen[2], tag_vmid[2]; /* the VMID: in which generation of VMIDs it was given, and which; read at once */
byte n_changes;

/* VMIDs. */
byte vmid_gen = 1, vmid_next = VMID_FIRST;

/* Harts. */
byte window[N_HARTS] = NONE;       /* the space whose window is open */
byte hart_epoch[N_HARTS] = IDLE;
byte epoch = 1;
byte hgatp_root[N_HARTS] = NONE, hgatp_vmid[N_HARTS];
byte flushed_for[N_HARTS];       /* VMID generation */
byte loaded_gen[N_HARTS], loaded_space[N_HARTS] = NONE;
byte seen_gen[N_HARTS * 2];      /* [hart * 2 + space] */
byte tlb_table[N_HARTS * 3] = NONE; /* [hart * 3 + VMID] */
byte tlb_page[N_HARTS * 3] = NONE;

#define AT(h) ((h) * 3 + hgatp_vmid[h])

/* One walk of hart h by what it has loaded; every table that is read must still be one. */
inline walk(h)
{
	d_step {
		if
		:: hgatp_root[h] != NONE ->
			if
			:: tlb_table[AT(h)] == NONE ->
				assert(!root_freed[hgatp_root[h]]);
				tlb_table[AT(h)] = root_names[hgatp_root[h]]
			:: else
			fi;
			if
			:: tlb_page[AT(h)] == NONE ->
				assert(!table_freed[tlb_table[AT(h)]]);
				tlb_page[AT(h)] = table_names[tlb_table[AT(h)]]
			:: else
			fi
		:: else
		fi
	}
}

/* What hardware does of its own accord: a walk, or only its beginning. */
inline walk_ahead(h)
{
	if
	:: walk(h)
	:: hgatp_root[h] != NONE ->
		d_step {
			assert(!root_freed[hgatp_root[h]]);
			if
			:: tlb_table[AT(h)] == NONE -> tlb_table[AT(h)] = root_names[hgatp_root[h]]
			:: else
			fi
		}
	fi
}

/* A load by the guest of space s. */
inline load(h, s)
{
	atomic {
		walk(h);
		assert(!page_freed[tlb_page[AT(h)]]);
		assert((tlb_page[AT(h)] == B_THING) == (s == B));
		assert(s == B || !is_written || tlb_page[AT(h)] == table_names[root_names[root[A]]])
	}
}

inline flush_vmid(h, v)
{
	d_step { tlb_table[(h) * 3 + v] = NONE; tlb_page[(h) * 3 + v] = NONE }
}

inline flush_all(h)
{
#ifndef WITHOUT_ROLL_OVER_FLUSH
	d_step {
		tlb_table[(h) * 3] = NONE; tlb_table[(h) * 3 + 1] = NONE; tlb_table[(h) * 3 + 2] = NONE;
		tlb_page[(h) * 3] = NONE; tlb_page[(h) * 3 + 1] = NONE; tlb_page[(h) * 3 + 2] = NONE
	}
#else
	skip
#endif
}

/* flush_owed() */
inline flush_owed(h, s)
{
	if
	:: flushed_for[h] != my_gen -> flush_all(h); flushed_for[h] = my_gen
	:: else
	fi;
	if
#ifndef WITHOUT_GENERATION_CHECK
	:: seen_gen[h * 2 + s] != my_fence_gen -> flush_vmid(h, my_vmid); seen_gen[h * 2 + s] = my_fence_gen
#endif
	:: else
	fi
}

/* vmid_assign() */
inline assign(s)
{
	d_step {
		if
		:: tag_gen[s] != vmid_gen ->
			if
			:: vmid_next > VMID_LAST -> vmid_gen++; vmid_next = VMID_FIRST
			:: else
			fi;
			tag_gen[s] = vmid_gen;
			tag_vmid[s] = vmid_next;
			vmid_next++
		:: else
		fi;
		my_gen = tag_gen[s];
		my_vmid = tag_vmid[s]
	}
}

/* tlb_open(), the guest, tlb_close() */
inline run_guest(h, s)
{
	d_step { my_gen = tag_gen[s]; my_vmid = tag_vmid[s] };
	if
	:: my_gen != vmid_gen -> assign(s)
	:: else
	fi;
#ifdef WITHOUT_BARRIER
	my_fence_gen = fence_gen[s];
	window[h] = s;
#else
#ifndef WITHOUT_WINDOW
	window[h] = s;
#endif
	my_fence_gen = fence_gen[s];
#endif
	if
	:: loaded_space[h] != s || loaded_gen[h] != my_gen || seen_gen[h * 2 + s] != my_fence_gen ->
		is_loaded = hgatp_vmid[h] == my_vmid;
		has_rolled_over = flushed_for[h] != my_gen;
#ifdef WITHOUT_FLUSH_FIRST
		is_loaded = true;
#endif
		if
		:: !is_loaded -> flush_owed(h, s)
		:: else
		fi;
#ifdef WITHOUT_ROOT_RELOAD
		if
		:: loaded_space[h] == s && loaded_gen[h] == my_gen
		:: else -> d_step { hgatp_root[h] = root[s]; hgatp_vmid[h] = my_vmid }
		fi;
#else
		d_step { hgatp_root[h] = root[s]; hgatp_vmid[h] = my_vmid };
#endif
		if
		:: walk_ahead(h)
		:: true
		fi;
		if
		:: is_loaded -> flush_owed(h, s)
		:: !is_loaded && has_rolled_over -> flush_all(h)
		:: else
		fi;
		d_step { loaded_space[h] = s; loaded_gen[h] = my_gen }
	:: else
	fi;
	hart_epoch[h] = epoch;
	if
	:: load(h, s); load(h, s)
	:: walk_ahead(h)
	fi;
	window[h] = NONE
}

/* tlb_unload() */
inline unload(h)
{
	d_step { hgatp_root[h] = NONE; hgatp_vmid[h] = 0; loaded_space[h] = NONE };
#if VMID_FIRST == 0
	flush_all(h);
	flushed_for[h] = 0;
#endif
	hart_epoch[h] = IDLE
}

/* fence_others(): the other hart's window on A */
inline fence(h)
{
#ifndef WITHOUT_GENERATION_BUMP
	fence_gen[A]++;
#endif
#ifndef WITHOUT_WAIT
	window[1 - h] != A
#else
	skip
#endif
}

/* Freed when every hart has opened a window, or let go, since `stamp`; h gives the stamp, and lets go itself. */
inline reap(h, freed)
{
	d_step { stamp = epoch; epoch++ };
#ifndef WITHOUT_EPOCHS
	locked = 0; /* the reaper has no lock */
	unload(h);
	hart_epoch[1 - h] > stamp;
#endif
	freed = 1
}

/* A break, with the lock of A, that changes what A is made of: its page, a table, its root. */
inline change(h)
{
	is_written = 0;
	if
	:: CHANGE == LEAF -> /* another page */
		old = table_names[root_names[root[A]]];
		table_names[root_names[root[A]]] = n_changes;
#ifdef WITHOUT_FENCE_BEFORE_FREE
		page_freed[old] = 1;
#endif
#ifdef WITHOUT_FENCE_BEFORE_W
		is_written = 1;
#endif
		fence(h);
		is_written = 1;
		page_freed[old] = 1;
		locked = 0
	:: CHANGE == TABLE -> /* another table; the page stays */
		old = root_names[root[A]];
		d_step { table_names[n_changes] = table_names[old]; root_names[root[A]] = n_changes };
		fence(h);
		locked = 0;
		reap(h, table_freed[old])
	:: CHANGE == ROOT -> /* another root */
		old = root[A];
		d_step { root_names[n_changes] = root_names[old]; root[A] = n_changes };
		fence(h);
		locked = 0;
		reap(h, root_freed[old])
	fi
}

proctype hart(byte self)
{
	byte my_gen, my_vmid, my_fence_gen, old, stamp;
	byte n_visits = N_VISITS;
	bit is_loaded, has_rolled_over;

	do
	:: n_visits > 0 -> n_visits--; run_guest(self, A)
	:: n_visits > 0 -> n_visits--; run_guest(self, B)
	:: atomic { !locked && n_changes < N_CHANGES -> locked = 1; n_changes++ }; change(self)
	:: n_visits > 0 -> n_visits--; unload(self)
	:: break
	od;
end:	/* an idle hart has let go */
	unload(self)
}

init
{
	root[B] = B_THING;
	root_names[B_THING] = B_THING;
	table_names[B_THING] = B_THING;
	fence_gen[A] = 1;
	fence_gen[B] = 1;
	atomic { run hart(0); run hart(1) }
}
