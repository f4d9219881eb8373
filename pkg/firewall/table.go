package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// answerLimit bounds a call of the kernel, which answers in milliseconds.
const answerLimit = 10 * time.Second

func dial() (*nftables.Conn, error) {
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return c.SetDeadline(time.Now().Add(answerLimit))
	}))
	if err != nil {
		return nil, fmt.Errorf("reach nf_tables: %w", err)
	}
	return conn, nil
}

// hooks are where the kernel enters the table: before the routing, for what is for
// the host, and for what the host passes on. What another table accepts or rejects
// changes nothing here.
var hooks = map[string]nftables.Chain{
	arrival:   {Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw},
	local:     {Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter},
	forwarded: {Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter},
}

// chains in an order in which no rule jumps to one that is not there yet.
var chains = []string{fromPods, podsToHost, podsAway, arrival, local, forwarded}

// replace puts the rules in the place of what the table had, in one step: no packet
// meets half of them.
func replace(name string, rules []rule) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	queue(conn, name, rules)
	return flush(conn, "make the table "+name)
}

// try has the kernel judge the rules in a table that is gone with the same step.
func try(name string, rules []rule) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	conn.DelTable(queue(conn, name, rules))
	return flush(conn, "make a table like "+name)
}

func queue(conn *nftables.Conn, name string, rules []rule) *nftables.Table {
	table := conn.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyINet})
	conn.DelTable(table) // with all that it may have had
	table = conn.AddTable(table)
	made := map[string]*nftables.Chain{}
	for _, chain := range chains {
		c := hooks[chain]
		if c.Name, c.Table = chain, table; c.Hooknum != nil {
			c.Type = nftables.ChainTypeFilter
		}
		made[chain] = conn.AddChain(&c)
	}
	for _, r := range rules {
		conn.AddRule(&nftables.Rule{Table: table, Chain: made[r.chain], Exprs: r.match,
			UserData: userdata.AppendString(nil, userdata.TypeComment, r.digest())})
	}
	return table
}

func flush(conn *nftables.Conn, what string) error {
	err := conn.Flush()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: it takes the capability NET_ADMIN: %w", what, err)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%s: the kernel lacks nf_tables or a part of it: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// digest of a rule, by which it is known again.
func (r rule) digest() string {
	sum := sha256.New()
	for _, part := range r.match {
		text, err := json.Marshal(part)
		if err != nil {
			panic(err) // plain structs of numbers
		}
		fmt.Fprintf(sum, "%T%s", part, text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// fingerprint of rules, as present returns it for those that the kernel has.
func fingerprint(rules []rule) []string {
	var out []string
	for _, chain := range chains {
		for _, r := range rules {
			if r.chain == chain {
				out = append(out, chain+" "+r.digest())
			}
		}
	}
	return out
}

// present is the fingerprint of a table, none if it is not there.
func present(name string) ([]string, error) {
	conn, err := dial()
	if err != nil {
		return nil, err
	}
	table := &nftables.Table{Name: name, Family: nftables.TableFamilyINet}
	var out []string
	for _, chain := range chains {
		rules, err := conn.GetRules(table, &nftables.Chain{Name: chain, Table: table})
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("look at the table %s: %w", name, err)
		}
		for _, r := range rules {
			comment, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			out = append(out, chain+" "+comment)
		}
	}
	return out, nil
}

// Remove removes an instance's rules; none is success.
func Remove(instance string) error {
	conn, err := dial()
	if err != nil {
		return err
	}
	name := Table(instance)
	tables, err := conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return fmt.Errorf("list the tables of nf_tables: %w", err)
	}
	for _, table := range tables {
		if table.Name == name {
			conn.DelTable(table)
		}
	}
	if err := flush(conn, "remove the table "+name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
